// The CUDA runtime over the fake driver: it makes a device's primary context current where a thread has none.
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "driver_calls.h"

enum { NEEDED_DRIVER = 12000, INSUFFICIENT_DRIVER = 35, RUNTIME_VERSION = 12050, MISSING_CONFIGURATION = 52 };

static __thread int own_device;
static __thread int last_error;

long fake_stub(const char *name, void *first) {
  (void)first;
  count_stub(name);
  return 0;
}

static int note(int code) {
  if (code) last_error = code;
  return code;
}

static int begin(void) {
  int version = 0;
  int code = DRIVER(cuDriverGetVersion, (int *), &version);
  if (code) return note(code);
  if (version < NEEDED_DRIVER) return note(INSUFFICIENT_DRIVER);
  static int started; // every call would be counted
  if (!started) {
    code = DRIVER(cuInit, (unsigned), 0);
    if (code) return note(code);
    started = 1;
  }
  return 0;
}

// Makes sure that the thread has a context.
static int bind(void) {
  int code = begin();
  if (code) return code;
  void *context = NULL;
  DRIVER(cuCtxGetCurrent, (void **), &context);
  if (context) return 0;
  code = DRIVER(cuDevicePrimaryCtxRetain, (void **, int), &context, own_device);
  if (code) return note(code);
  return note(DRIVER(cuCtxSetCurrent, (void *), context));
}

// A call of the driver under the thread's context.
#define BOUND(name, types, ...)                           \
  do {                                                    \
    int unbound = bind();                                 \
    return unbound ? unbound : note(DRIVER(name, types, __VA_ARGS__)); \
  } while (0)

API int cudaGetDeviceCount(int *count) {
  *count = 0;
  int code = begin();
  return code ? code : note(DRIVER(cuDeviceGetCount, (int *), count));
}

API int cudaGetDevice(int *device) {
  int code = begin();
  if (code) return code;
  *device = own_device;
  void *context = NULL;
  DRIVER(cuCtxGetCurrent, (void **), &context);
  if (context) DRIVER(cuCtxGetDevice, (int *), device);
  return 0;
}

API int cudaSetDevice(int device) {
  int code = begin();
  if (code) return code;
  void *context = NULL;
  code = DRIVER(cuDevicePrimaryCtxRetain, (void **, int), &context, device);
  if (code) return note(code);
  own_device = device;
  return note(DRIVER(cuCtxSetCurrent, (void *), context));
}

API int cudaRuntimeGetVersion(int *version) {
  *version = RUNTIME_VERSION;
  return 0;
}

API int cudaDriverGetVersion(int *version) {
  *version = 0; // what the runtime says where there is no driver
  DRIVER(cuDriverGetVersion, (int *), version);
  return 0;
}

API int cudaDeviceGetAttribute(int *value, int attribute, int device) {
  int code = begin();
  return code ? code : note(DRIVER(cuDeviceGetAttribute, (int *, int, int), value, attribute, device));
}

// cudaDeviceProp as CUDA 12 lays it out, up to what is read.
typedef struct {
  char name[256];
  unsigned char uuid[16];
  char luid[8];
  unsigned luid_mask;
  size_t memory, block_shared;
  int block_registers, warp;
  size_t pitch;
  int block_threads, block_sides[3], grid_sides[3], clock;
  size_t constants;
  int major, minor;
  size_t texture_alignment, pitch_alignment;
  int overlap, multiprocessors, timeout, integrated, maps_host, compute_mode;
  int textures_and_surfaces[40];
  size_t surface_alignment;
  int concurrent_kernels, ecc, bus, device, domain, tcc, copy_engines, unified, memory_clock, memory_width, cache;
  int persisting_cache, processor_threads, priorities, global_cache, local_cache;
  size_t processor_shared;
  int processor_registers, rest[11];
  size_t optional_shared;
} Properties;

enum { PROPERTIES_BYTES = 1032 };
_Static_assert(offsetof(Properties, surface_alignment) == 568, "cudaDeviceProp");
_Static_assert(offsetof(Properties, processor_threads) == 624, "cudaDeviceProp");
_Static_assert(offsetof(Properties, optional_shared) == 696, "cudaDeviceProp");

static int attribute(int number, int device) {
  int value = 0;
  DRIVER(cuDeviceGetAttribute, (int *, int, int), &value, number, device);
  return value;
}

API int cudaGetDeviceProperties_v2(Properties *p, int device) {
  int code = begin();
  if (code) return code;
  memset(p, 0, PROPERTIES_BYTES);
  code = DRIVER(cuDeviceGetName, (char *, int, int), p->name, (int)sizeof p->name, device);
  if (code) return note(code);
  DRIVER(cuDeviceTotalMem_v2, (size_t *, int), &p->memory, device);
  DRIVER(cuDeviceGetUuid_v2, (unsigned char *, int), p->uuid, device);
  p->block_shared = (size_t)attribute(8, device);
  p->block_registers = attribute(12, device);
  p->warp = attribute(10, device);
  p->block_threads = attribute(1, device);
  for (int i = 0; i < 3; i++) {
    p->block_sides[i] = attribute(2 + i, device);
    p->grid_sides[i] = attribute(5 + i, device);
  }
  p->major = attribute(75, device);
  p->minor = attribute(76, device);
  p->multiprocessors = attribute(16, device);
  p->processor_threads = attribute(39, device);
  p->processor_shared = (size_t)attribute(81, device);
  p->processor_registers = attribute(82, device);
  p->optional_shared = (size_t)attribute(97, device);
  p->cache = attribute(38, device);
  p->unified = 1;
  return 0;
}

API int cudaDeviceGetStreamPriorityRange(int *least, int *greatest) {
  BOUND(cuCtxGetStreamPriorityRange, (int *, int *), least, greatest);
}

API int cudaDeviceSynchronize(void) { BOUND(cuCtxSynchronize, (void)); }
API int cudaGetLastError(void) {
  int code = last_error;
  last_error = 0;
  return code;
}
API int cudaPeekAtLastError(void) { return last_error; }

API const char *cudaGetErrorString(int code) {
  const char *text = "no driver";
  DRIVER(cuGetErrorString, (int, const char **), code, &text);
  return code == INSUFFICIENT_DRIVER ? "CUDA driver version is insufficient for CUDA runtime version" : text;
}

API const char *cudaGetErrorName(int code) {
  const char *name = "cudaErrorInsufficientDriver";
  DRIVER(cuGetErrorName, (int, const char **), code, &name);
  return name;
}

// Memory.
API int cudaMalloc(void **address, size_t bytes) { BOUND(cuMemAlloc_v2, (void **, size_t), address, bytes); }
API int cudaFree(void *address) { BOUND(cuMemFree_v2, (void *), address); }
API int cudaMemGetInfo(size_t *available, size_t *total) {
  BOUND(cuMemGetInfo_v2, (size_t *, size_t *), available, total);
}
API int cudaMallocHost(void **address, size_t bytes) { BOUND(cuMemAllocHost_v2, (void **, size_t), address, bytes); }
API int cudaHostAlloc(void **address, size_t bytes, unsigned flags) {
  BOUND(cuMemHostAlloc, (void **, size_t, unsigned), address, bytes, flags);
}
API int cudaFreeHost(void *address) { BOUND(cuMemFreeHost, (void *), address); }
API int cudaHostRegister(void *address, size_t bytes, unsigned flags) {
  BOUND(cuMemHostRegister_v2, (void *, size_t, unsigned), address, bytes, flags);
}
API int cudaHostUnregister(void *address) { BOUND(cuMemHostUnregister, (void *), address); }
API int cudaHostGetDevicePointer(void **on_device, void *address, unsigned flags) {
  BOUND(cuMemHostGetDevicePointer_v2, (void **, void *, unsigned), on_device, address, flags);
}
API int cudaMemcpy(void *to, const void *from, size_t bytes, int kind) {
  (void)kind;
  BOUND(cuMemcpy, (void *, const void *, size_t), to, from, bytes);
}
API int cudaMemcpyAsync(void *to, const void *from, size_t bytes, int kind, void *stream) {
  (void)kind;
  BOUND(cuMemcpyAsync, (void *, const void *, size_t, void *), to, from, bytes, stream);
}
API int cudaMemset(void *to, int value, size_t bytes) {
  BOUND(cuMemsetD8_v2, (void *, unsigned char, size_t), to, (unsigned char)value, bytes);
}
API int cudaMemsetAsync(void *to, int value, size_t bytes, void *stream) {
  BOUND(cuMemsetD8Async, (void *, unsigned char, size_t, void *), to, (unsigned char)value, bytes, stream);
}
API int cudaGetSymbolAddress(void **address, const void *symbol) {
  (void)symbol;
  BOUND(cuModuleGetGlobal_v2, (void **, size_t *, void *, const char *), address, NULL, NULL, "");
}

// Streams and events.
API int cudaStreamCreateWithPriority(void **stream, unsigned flags, int priority) {
  BOUND(cuStreamCreateWithPriority, (void **, unsigned, int), stream, flags, priority);
}
API int cudaStreamCreateWithFlags(void **stream, unsigned flags) {
  BOUND(cuStreamCreate, (void **, unsigned), stream, flags);
}
API int cudaStreamCreate(void **stream) { BOUND(cuStreamCreate, (void **, unsigned), stream, 0); }
API int cudaStreamDestroy(void *stream) { BOUND(cuStreamDestroy_v2, (void *), stream); }
API int cudaStreamSynchronize(void *stream) { BOUND(cuStreamSynchronize, (void *), stream); }
API int cudaStreamQuery(void *stream) { BOUND(cuStreamQuery, (void *), stream); }
API int cudaStreamWaitEvent(void *stream, void *event, unsigned flags) {
  BOUND(cuStreamWaitEvent, (void *, void *, unsigned), stream, event, flags);
}
API int cudaStreamIsCapturing(void *stream, int *status) {
  (void)stream;
  *status = 0;
  return 0;
}
API int cudaLaunchHostFunc(void *stream, void (*function)(void *), void *argument) {
  BOUND(cuLaunchHostFunc, (void *, void (*)(void *), void *), stream, function, argument);
}
API int cudaStreamAddCallback(void *stream, void (*function)(void *, int, void *), void *argument, unsigned flags) {
  BOUND(cuStreamAddCallback, (void *, void (*)(void *, int, void *), void *, unsigned), stream, function, argument,
        flags);
}
API int cudaEventCreateWithFlags(void **event, unsigned flags) {
  BOUND(cuEventCreate, (void **, unsigned), event, flags);
}
API int cudaEventCreate(void **event) { BOUND(cuEventCreate, (void **, unsigned), event, 0); }
API int cudaEventDestroy(void *event) { BOUND(cuEventDestroy_v2, (void *), event); }
API int cudaEventRecord(void *event, void *stream) { BOUND(cuEventRecord, (void *, void *), event, stream); }
API int cudaEventSynchronize(void *event) { BOUND(cuEventSynchronize, (void *), event); }
API int cudaEventQuery(void *event) { BOUND(cuEventQuery, (void *), event); }

// Kernels that are part of a library.
typedef struct {
  unsigned x, y, z;
} Dim3;

static __thread struct {
  Dim3 grid, block;
  size_t shared;
  void *stream;
} configuration;

API void **__cudaRegisterFatBinary(void *binary) {
  (void)binary;
  return calloc(1, 64);
}

API unsigned __cudaPushCallConfiguration(Dim3 grid, Dim3 block, size_t shared, void *stream) {
  configuration.grid = grid;
  configuration.block = block;
  configuration.shared = shared;
  configuration.stream = stream;
  return 0;
}

API int __cudaPopCallConfiguration(Dim3 *grid, Dim3 *block, size_t *shared, void **stream) {
  *grid = configuration.grid;
  *block = configuration.block;
  *shared = configuration.shared;
  *stream = configuration.stream;
  return 0;
}

// The names of kernels by the functions of the host that stand for them: a table with open addressing.
enum { TABLE_SIZE = 1 << 18 };
static struct { const void *function; const char *name; void *of_driver; } registered[TABLE_SIZE];
static pthread_mutex_t registration = PTHREAD_MUTEX_INITIALIZER;

// Returns the place of a function in the table, or the place where it belongs.
static size_t place_of(const void *function) {
  size_t at = (size_t)((uintptr_t)function * 0x9E3779B97F4A7C15ull >> 46);
  while (registered[at].function && registered[at].function != function) at = (at + 1) % TABLE_SIZE;
  return at;
}

API void __cudaRegisterFunction(void **binary, const void *function, char *device_function, const char *name) {
  (void)binary, (void)device_function;
  pthread_mutex_lock(&registration);
  size_t at = place_of(function);
  registered[at].function = function;
  registered[at].name = name;
  pthread_mutex_unlock(&registration);
}

static int launch(void *function, void *stream) {
  pthread_mutex_lock(&registration);
  const char *name = registered[place_of(function)].name;
  pthread_mutex_unlock(&registration);
  BOUND(fake_cuda_runtime_launch, (const char *, void *), name ? name : "", stream);
}

API int cudaLaunchKernel(void *function, Dim3 grid, Dim3 block, void **arguments, size_t shared, void *stream) {
  (void)grid, (void)block, (void)arguments, (void)shared;
  return launch(function, stream);
}

typedef struct {
  Dim3 grid, block;
  size_t shared;
  void *stream;
} LaunchConfig; // the beginning of cudaLaunchConfig_t

API int cudaLaunchKernelExC(const LaunchConfig *config, void *function, void **arguments) {
  (void)arguments;
  return launch(function, config->stream);
}

API int cudaGetFuncBySymbol(void **function, void *symbol) {
  pthread_mutex_lock(&registration);
  size_t at = place_of(symbol);
  int code = 0;
  if (!registered[at].of_driver) {
    const char *name = registered[at].name ? registered[at].name : "";
    code = DRIVER(fake_cuda_function, (void **, const char *), &registered[at].of_driver, name);
  }
  *function = registered[at].of_driver;
  pthread_mutex_unlock(&registration);
  return code;
}

enum { ATTRIBUTES_BYTES = 144, BLOCK_THREADS_AT = 6, REGISTERS_AT = 7 }; // of cudaFuncAttributes, counted in ints

API int cudaFuncGetAttributes(int *attributes, const void *function) {
  (void)function;
  memset(attributes, 0, ATTRIBUTES_BYTES);
  attributes[BLOCK_THREADS_AT] = 1024;
  attributes[REGISTERS_AT] = 32;
  return 0;
}

API int cudaOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, const void *function, int threads, size_t shared) {
  (void)function, (void)threads, (void)shared;
  *blocks = 2;
  return 0;
}

API int cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int *blocks, const void *function, int threads,
                                                               size_t shared, unsigned flags) {
  (void)flags;
  return cudaOccupancyMaxActiveBlocksPerMultiprocessor(blocks, function, threads, shared);
}
