// Initialization, devices, and contexts.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake.h"

static Device devices[MAX_DEVICES];
static int device_count;
static bool initialized;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static __thread Context *stack[64]; // of contexts: the last is current
static __thread int depth;

bool fake_is_initialized(void) { return initialized; }
int fake_device_count(void) { return device_count; }
Device *fake_device(int ordinal) { return ordinal >= 0 && ordinal < device_count ? &devices[ordinal] : NULL; }
Context *fake_current(void) { return depth ? stack[depth - 1] : NULL; }
int fake_health(Device *device) { return device->lost ? machine()->lost_error : SUCCESS; }

API int cuInit(unsigned flags) {
  (void)flags;
  pthread_mutex_lock(&lock);
  int code = machine()->init_error;
  if (!code && !initialized) {
    int visible[MAX_DEVICES];
    device_count = machine_visible(visible);
    for (int i = 0; i < device_count; i++) {
      devices[i].entry = &machine()->devices[visible[i]];
      devices[i].ordinal = i;
    }
    initialized = device_count > 0;
  }
  if (!code && !initialized) code = NO_DEVICE;
  pthread_mutex_unlock(&lock);
  fake_count_init(code);
  return fake_result(__func__, code);
}

API int cuDriverGetVersion(int *version) {
  *version = machine()->driver_version;
  return SUCCESS;
}

API int cuDeviceGetCount(int *count) {
  *count = 0;
  if (!initialized) return fake_result(__func__, NOT_INITIALIZED);
  *count = device_count;
  return SUCCESS;
}

API int cuDeviceGet(int *device, int ordinal) {
  DEVICE(found, ordinal);
  *device = found->ordinal;
  return SUCCESS;
}

API int cuDeviceGetName(char *name, int length, int ordinal) {
  DEVICE(device, ordinal);
  snprintf(name, (size_t)length, "%s", device->entry->name);
  return SUCCESS;
}

API int cuDeviceComputeCapability(int *major, int *minor, int ordinal) {
  DEVICE(device, ordinal);
  *major = device->entry->major;
  *minor = device->entry->minor;
  return SUCCESS;
}

API int cuDeviceTotalMem_v2(size_t *bytes, int ordinal) {
  DEVICE(device, ordinal);
  *bytes = device->entry->memory;
  return SUCCESS;
}

API int cuDeviceGetPCIBusId(char *bus, int length, int ordinal) {
  DEVICE(device, ordinal);
  // nvidia-smi prints the domain with eight digits, CUDA with four.
  const char *text = device->entry->bus;
  snprintf(bus, (size_t)length, "%s", strlen(text) > 12 ? text + strlen(text) - 12 : text);
  return SUCCESS;
}

API int cuDeviceGetByPCIBusId(int *ordinal, const char *bus) {
  for (int i = 0; i < device_count; i++) {
    char own[32];
    cuDeviceGetPCIBusId(own, sizeof own, i);
    if (!strcasecmp(own, bus)) {
      *ordinal = i;
      return SUCCESS;
    }
  }
  return fake_result(__func__, INVALID_DEVICE);
}

API int cuDeviceGetUuid_v2(unsigned char uuid[16], int ordinal) {
  DEVICE(device, ordinal);
  const char *digits = strchr(device->entry->uuid, '-');
  for (int i = 0; i < 16 && digits; i++) {
    unsigned byte = 0;
    while (*digits == '-') digits++;
    sscanf(digits, "%2x", &byte);
    uuid[i] = (unsigned char)byte;
    digits += 2;
  }
  return SUCCESS;
}

API int cuDeviceGetUuid(unsigned char uuid[16], int ordinal) { return cuDeviceGetUuid_v2(uuid, ordinal); }

// Values of an A100, by number of CUdevice_attribute.
static const struct { int attribute, value; } ATTRIBUTES[] = {
  {1, 1024},     // threads of a block
  {2, 1024}, {3, 1024}, {4, 64}, // the block's sides
  {5, 2147483647}, {6, 65535}, {7, 65535}, // the grid's sides
  {8, 49152},    // shared memory of a block
  {9, 65536},    // constant memory
  {10, 32},      // threads of a warp
  {12, 65536},   // registers of a block
  {13, 1410000}, // clock, kHz
  {16, 108},     // multiprocessors
  {19, 1},       // maps host memory
  {31, 1},       // concurrent kernels
  {36, 1215000}, // clock of the memory, kHz
  {37, 5120},    // width of the memory's bus
  {38, 40 << 20},// cache
  {39, 2048},    // threads of a multiprocessor
  {40, 3},       // copy engines
  {41, 1},       // unified addressing
  {81, 167936},  // shared memory of a multiprocessor
  {82, 65536},   // registers of a multiprocessor
  {92, 1}, {122, 1}, // waits of a stream for a value
  {97, 166912},  // shared memory of a block that asks for it
  {99, 1},       // registers host memory
  {106, 32},     // blocks of a multiprocessor
};

API int cuDeviceGetAttribute(int *value, int attribute, int ordinal) {
  DEVICE(device, ordinal);
  *value = 0;
  if (attribute == 75) *value = device->entry->major;
  if (attribute == 76) *value = device->entry->minor;
  if (attribute == 33) sscanf(strchr(device->entry->bus, ':') + 1, "%x", (unsigned *)value);
  for (size_t i = 0; i < sizeof ATTRIBUTES / sizeof *ATTRIBUTES; i++) {
    if (ATTRIBUTES[i].attribute == attribute) *value = ATTRIBUTES[i].value;
  }
  return SUCCESS;
}

API int cuDeviceCanAccessPeer(int *can, int device, int peer) {
  (void)device, (void)peer;
  *can = 0;
  return SUCCESS;
}

API int cuDeviceGetP2PAttribute(int *value, int attribute, int from, int to) {
  (void)attribute, (void)from, (void)to;
  *value = 0;
  return SUCCESS;
}

API int cuDevicePrimaryCtxRetain(Context **context, int ordinal) {
  DEVICE(device, ordinal);
  if (fake_health(device)) return fake_result(__func__, fake_health(device));
  pthread_mutex_lock(&lock);
  bool is_new = !device->context;
  if (is_new) {
    device->context = calloc(1, sizeof *device->context);
    device->context->device = device;
    pthread_mutex_init(&device->context->lock, NULL);
  }
  device->context->references++;
  *context = device->context;
  pthread_mutex_unlock(&lock);
  if (is_new) fake_cuda_write_record();
  return SUCCESS;
}

API int cuDevicePrimaryCtxRelease_v2(int ordinal) {
  DEVICE(device, ordinal);
  if (!device->context || device->context->references == 0) return fake_result(__func__, INVALID_CONTEXT);
  device->context->references--; // its memory and streams stay: nothing here counts on their end
  return SUCCESS;
}

API int cuDevicePrimaryCtxGetState(int ordinal, unsigned *flags, int *active) {
  DEVICE(device, ordinal);
  *flags = 0;
  *active = device->context && device->context->references > 0;
  return SUCCESS;
}

API int cuDevicePrimaryCtxSetFlags_v2(int ordinal, unsigned flags) {
  (void)flags;
  DEVICE(device, ordinal);
  return fake_health(device);
}

API int cuCtxGetCurrent(Context **context) {
  *context = fake_current();
  return initialized ? SUCCESS : fake_result(__func__, NOT_INITIALIZED);
}

API int cuCtxSetCurrent(Context *context) {
  if (!initialized) return fake_result(__func__, NOT_INITIALIZED);
  if (depth) depth--;
  if (context) stack[depth++] = context;
  return SUCCESS;
}

API int cuCtxPushCurrent_v2(Context *context) {
  if (!context || depth == 64) return fake_result(__func__, INVALID_CONTEXT);
  stack[depth++] = context;
  return SUCCESS;
}

API int cuCtxPopCurrent_v2(Context **context) {
  if (!depth) return fake_result(__func__, INVALID_CONTEXT);
  depth--;
  if (context) *context = stack[depth];
  return SUCCESS;
}

API int cuCtxGetDevice(int *ordinal) {
  CURRENT(context);
  *ordinal = context->device->ordinal;
  return SUCCESS;
}

API int cuCtxGetApiVersion(Context *context, unsigned *version) {
  (void)context;
  *version = 3020;
  return SUCCESS;
}

API int cuCtxGetId(Context *context, unsigned long long *id) {
  if (!context) context = fake_current();
  if (!context) return fake_result(__func__, INVALID_CONTEXT);
  *id = (unsigned long long)context->device->ordinal + 1;
  return SUCCESS;
}

API int cuCtxGetStreamPriorityRange(int *least, int *greatest) {
  CURRENT(context);
  *least = 0;
  *greatest = -5;
  return SUCCESS;
}

API int cuCtxSynchronize(void) {
  CURRENT(context);
  fake_count_host_sync();
  fake_drain_context(context);
  return fake_result(__func__, fake_health(context->device));
}

static const struct { int code; const char *name, *text; } ERRORS[] = {
  {0, "CUDA_SUCCESS", "no error"},
  {1, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
  {2, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
  {3, "CUDA_ERROR_NOT_INITIALIZED", "initialization error"},
  {35, "CUDA_ERROR_INSUFFICIENT_DRIVER", "CUDA driver version is insufficient for CUDA runtime version"},
  {46, "CUDA_ERROR_DEVICE_UNAVAILABLE", "CUDA-capable device(s) is/are busy or unavailable"},
  {100, "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"},
  {101, "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"},
  {201, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
  {222, "CUDA_ERROR_UNSUPPORTED_PTX_VERSION", "the provided PTX was compiled with an unsupported toolchain."},
  {400, "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"},
  {500, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
  {600, "CUDA_ERROR_NOT_READY", "device not ready"},
  {712, "CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED", "part or all of the requested memory range is already mapped"},
  {713, "CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED", "pointer does not correspond to a registered memory region"},
  {719, "CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"},
  {802, "CUDA_ERROR_SYSTEM_NOT_READY", "system not yet initialized"},
  {803, "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH", "system has unsupported display driver / cuda driver combination"},
  {999, "CUDA_ERROR_UNKNOWN", "unknown error"},
};

API int cuGetErrorName(int code, const char **name) {
  *name = "CUDA_ERROR_OF_THE_FAKE";
  for (size_t i = 0; i < sizeof ERRORS / sizeof *ERRORS; i++) {
    if (ERRORS[i].code == code) *name = ERRORS[i].name;
  }
  return SUCCESS;
}

API int cuGetErrorString(int code, const char **text) {
  *text = "an error that the fake has no text for";
  for (size_t i = 0; i < sizeof ERRORS / sizeof *ERRORS; i++) {
    if (ERRORS[i].code == code) *text = ERRORS[i].text;
  }
  return SUCCESS;
}

API int cuGetProcAddress_v2(const char *symbol, void **function, int version, uint64_t flags, int *status) {
  (void)version, (void)flags;
  Dl_info own;
  dladdr((void *)cuInit, &own);
  void *library = dlopen(own.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
  char newer[256];
  snprintf(newer, sizeof newer, "%s_v2", symbol);
  *function = dlsym(library, newer);
  if (!*function) *function = dlsym(library, symbol);
  if (status) *status = *function ? 0 : 1;
  return *function ? SUCCESS : fake_result(__func__, NOT_FOUND);
}
