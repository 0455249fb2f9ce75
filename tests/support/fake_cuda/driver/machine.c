#include "machine.h"

#include <ctype.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static Machine the_machine;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void add_device(const char *line, int parent) {
  Machine *m = &the_machine;
  if (m->device_count == MAX_DEVICES) return;
  DeviceEntry *entry = &m->devices[m->device_count];
  long mebibytes = 0;
  int consumed = 0, is_mig = 0;
  int fields = sscanf(line, "%63s %ld %d.%d %31s %d %n", entry->uuid, &mebibytes, &entry->major, &entry->minor,
                      entry->bus, &is_mig, &consumed);
  if (fields < 6) {
    fprintf(stderr, "fake CUDA: a device can't be read from: %s", line);
    abort();
  }
  snprintf(entry->name, sizeof entry->name, "%.*s", (int)strcspn(line + consumed, "\n"), line + consumed);
  entry->memory = (size_t)mebibytes << 20;
  entry->is_mig = is_mig;
  entry->parent = parent;
  m->device_count++;
}

static void take(const char *key, const char *value) {
  Machine *m = &the_machine;
  static int last_gpu = -1;
  if (!strcmp(key, "gpu")) {
    last_gpu = m->device_count;
    add_device(value, -1);
  } else if (!strcmp(key, "mig")) {
    add_device(value, last_gpu);
  } else if (!strcmp(key, "driverVersion")) {
    sscanf(value, "%d %31s", &m->driver_version, m->driver_name);
  } else if (!strcmp(key, "initError")) {
    m->init_error = atoi(value);
  } else if (!strcmp(key, "seed")) {
    m->seed = (unsigned)atoi(value);
  } else if (!strcmp(key, "maxDelayMicros")) {
    m->max_delay_micros = atoi(value);
  } else if (!strcmp(key, "moduleLoadMillis")) {
    m->module_load_millis = atoi(value);
  } else if (!strcmp(key, "lost")) {
    sscanf(value, "%d %ld %d %7s", &m->lost_device, &m->lost_after_launches, &m->lost_error, m->lost_then);
  } else if (!strcmp(key, "allocErrorAfter")) {
    m->alloc_error_after = atoi(value);
  } else if (!strcmp(key, "zeroResults")) {
    m->zero_results = atoi(value);
  } else if (!strcmp(key, "nccl")) {
    int once = 0;
    sscanf(value, "%31s %ld %d", m->nccl_fault, &m->nccl_after, &once);
    m->nccl_once = once;
  } else if (!strcmp(key, "record")) {
    snprintf(m->record, sizeof m->record, "%.*s", (int)strcspn(value, "\n"), value);
  } else {
    fprintf(stderr, "fake CUDA: FAKE_CUDA_MACHINE has an unknown key %s\n", key);
    abort();
  }
}

static void path_of(const char *event, char path[600]) {
  snprintf(path, 600, "%s/%s", the_machine.record, event);
}

void machine_mark(const char *event) {
  char path[600];
  path_of(event, path);
  FILE *file = the_machine.record[0] ? fopen(path, "a") : NULL;
  if (file) fclose(file);
}

// A device that was lost in a process before this one.
static void find_lost(void) {
  Machine *m = &the_machine;
  char path[600];
  path_of("lost", path);
  if (m->lost_device < 0 || !m->record[0] || access(path, F_OK)) return;
  if (!strcmp(m->lost_then, "gone")) m->gone_device = m->lost_device;
  if (*m->lost_then && strcmp(m->lost_then, "same")) m->lost_device = -1;
}

static void load(void) {
  Machine *m = &the_machine;
  m->driver_version = 12080;
  snprintf(m->driver_name, sizeof m->driver_name, "570.86.10");
  m->lost_device = m->gone_device = -1;
  m->alloc_error_after = -1;
  const char *path = getenv("FAKE_CUDA_MACHINE");
  FILE *file = path ? fopen(path, "r") : NULL;
  if (!file) return; // a machine without GPUs
  char line[1024];
  while (fgets(line, sizeof line, file)) {
    char key[64];
    int consumed = 0;
    if (sscanf(line, "%63s %n", key, &consumed) == 1) take(key, line + consumed);
  }
  fclose(file);
  find_lost();
}

const Machine *machine(void) {
  pthread_once(&once, load);
  return &the_machine;
}

// The devices without a mask: the GPUs that aren't in MIG mode; on a machine without such, the first instance.
static int unmasked(int visible[MAX_DEVICES]) {
  const Machine *m = machine();
  int count = 0;
  for (int i = 0; i < m->device_count; i++) {
    if (m->devices[i].parent < 0 && !m->devices[i].is_mig && i != m->gone_device) visible[count++] = i;
  }
  for (int i = 0; i < m->device_count && count == 0; i++) {
    if (m->devices[i].parent >= 0) visible[count++] = i;
  }
  return count;
}

// Returns the entry that a name of the mask stands for, or -1: an index, or the beginning of one device's UUID.
static int named(const char *name, const int *all, int count) {
  const Machine *m = machine();
  if (isdigit((unsigned char)*name)) {
    char *end;
    long index = strtol(name, &end, 10);
    return *end == 0 && index < count ? all[index] : -1;
  }
  int found = -1;
  for (int i = 0; i < m->device_count && *name; i++) {
    if (m->devices[i].is_mig || i == m->gone_device || strncmp(m->devices[i].uuid, name, strlen(name)) != 0) continue;
    if (found >= 0) return -1; // the beginning of two UUIDs
    found = i;
  }
  return found;
}

int machine_visible(int visible[MAX_DEVICES]) {
  int all[MAX_DEVICES];
  int total = unmasked(all);
  const char *mask = getenv("CUDA_VISIBLE_DEVICES");
  if (!mask) {
    memcpy(visible, all, sizeof all);
    return total;
  }
  char names[4096];
  snprintf(names, sizeof names, "%s", mask);
  int count = 0;
  char *rest = NULL;
  for (char *name = strtok_r(names, ",", &rest); name && count < MAX_DEVICES; name = strtok_r(NULL, ",", &rest)) {
    while (*name == ' ') name++;
    int entry = named(name, all, total);
    if (entry < 0) break; // an invalid name hides itself and all after it
    for (int i = 0; i < count; i++) {
      if (visible[i] == entry) return 0; // a device named twice: CUDA shows none
    }
    visible[count++] = entry;
  }
  return count;
}
