// NVML, as far as TensorFlow calls it.
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "../driver/machine.h"

#define API __attribute__((visibility("default")))

enum { NOT_FOUND = 6 };

long fake_stub(const char *name, void *first) {
  (void)name, (void)first;
  return 0;
}

API int nvmlInit_v2(void) { return 0; }
API int nvmlInitWithFlags(unsigned flags) { return flags & 0; }
API int nvmlShutdown(void) { return 0; }

API int nvmlDeviceGetCount_v2(unsigned *count) {
  *count = 0;
  for (int i = 0; i < machine()->device_count; i++) *count += machine()->devices[i].parent < 0 && i != machine()->gone_device;
  return 0;
}

static int find(const DeviceEntry **found, unsigned index, const char *bus) {
  for (int i = 0; i < machine()->device_count; i++) {
    const DeviceEntry *entry = &machine()->devices[i];
    if (entry->parent >= 0 || i == machine()->gone_device) continue;
    size_t own = strlen(entry->bus), wanted = bus ? strlen(bus) : 0;
    bool is_it = bus ? own >= wanted && !strcasecmp(entry->bus + own - wanted, bus) : index-- == 0;
    if (!is_it) continue;
    *found = entry;
    return 0;
  }
  return NOT_FOUND;
}

API int nvmlDeviceGetHandleByIndex_v2(unsigned index, const DeviceEntry **device) { return find(device, index, NULL); }

API int nvmlDeviceGetHandleByPciBusId_v2(const char *bus, const DeviceEntry **device) { return find(device, 0, bus); }

API int nvmlDeviceGetUUID(const DeviceEntry *device, char *uuid, unsigned length) {
  snprintf(uuid, length, "%s", device->uuid);
  return 0;
}

API int nvmlDeviceGetName(const DeviceEntry *device, char *name, unsigned length) {
  snprintf(name, length, "%s", device->name);
  return 0;
}

API int nvmlSystemGetDriverVersion(char *version, unsigned length) {
  snprintf(version, length, "%s", machine()->driver_name);
  return 0;
}

API const char *nvmlErrorString(int code) { return code ? "an error of the fake NVML" : "The operation was successful"; }
