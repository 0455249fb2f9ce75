// Modules and kernels. A kernel computes nothing; its launches are counted, and take their place in the stream.
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fake.h"

// A card falls off the bus at its n-th launch, or has no more memory to give.
static void count_launch(Device *device) {
  long launches = ++device->launches;
  const Machine *m = machine();
  if (m->lost_device < 0 || device->entry != &m->devices[m->lost_device]) return;
  if (launches > m->lost_after_launches && !device->lost && !device->exhausted) {
    if (m->lost_error == OUT_OF_MEMORY) device->exhausted = true;
    else device->lost = true;
    machine_mark("lost");
    fake_cuda_write_record();
  }
}

static int launch(const char *call, Context *context, const char *name, void *handle) {
  fake_count_kernel(name);
  count_launch(context->device);
  if (fake_health(context->device)) return fake_result(call, fake_health(context->device));
  fake_enqueue_kernel(fake_stream(context, handle));
  return SUCCESS;
}

typedef struct {
  char *name;
} Function; // CUfunction

static const char *name_of(const Function *function) { return function && function->name ? function->name : ""; }

API int cuLaunchKernel(void *function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                       unsigned block_y, unsigned block_z, unsigned shared, void *stream, void **arguments,
                       void **extra) {
  CURRENT(context);
  (void)grid_x, (void)grid_y, (void)grid_z, (void)block_x, (void)block_y, (void)block_z;
  (void)shared, (void)arguments, (void)extra;
  return launch(__func__, context, name_of(function), stream);
}

typedef struct {
  unsigned grid[3], block[3], shared;
  void *stream;
} LaunchConfig; // the beginning of CUlaunchConfig

API int cuLaunchKernelEx(const LaunchConfig *config, void *function, void **arguments, void **extra) {
  CURRENT(context);
  (void)arguments, (void)extra;
  return launch(__func__, context, name_of(function), config->stream);
}

// The launches of the CUDA runtime, which knows the names of the kernels that are part of a library.
API int fake_cuda_runtime_launch(const char *name, void *stream) {
  CURRENT(context);
  return launch("cuLaunchKernel", context, name, stream);
}

// The launches of a CUDA library (cuBLAS, cuDNN), for the fakes of these.
API int fake_cuda_library_launch(const char *name, void *stream) {
  CURRENT(context);
  context->device->library_calls++;
  return launch(__func__, context, name, stream);
}

static int load(const char *call, void **module) {
  Context *context = fake_current();
  if (!context) return fake_result(call, INVALID_CONTEXT);
  usleep((useconds_t)machine()->module_load_millis * 1000);
  *module = calloc(1, 16);
  return fake_result(call, fake_health(context->device));
}

API int cuModuleLoadData(void **module, const void *image) {
  (void)image;
  return load(__func__, module);
}

API int cuModuleLoadDataEx(void **module, const void *image, unsigned count, int *options, void **values) {
  (void)image, (void)count, (void)options, (void)values;
  return load(__func__, module);
}

API int cuModuleLoadFatBinary(void **module, const void *image) {
  (void)image;
  return load(__func__, module);
}

API int cuModuleUnload(void *module) {
  free(module);
  return SUCCESS;
}

// Makes a CUfunction, for the CUDA runtime too.
API int fake_cuda_function(void **function, const char *name) {
  Function *made = calloc(1, sizeof *made);
  made->name = strdup(name);
  *function = made;
  return SUCCESS;
}

API int cuModuleGetFunction(void **function, void *module, const char *name) {
  CURRENT(context);
  (void)module;
  return fake_cuda_function(function, name);
}

API int cuModuleGetGlobal_v2(void **address, size_t *bytes, void *module, const char *name) {
  CURRENT(context);
  (void)module, (void)name;
  void *symbols = fake_symbols(context->device, bytes);
  if (address) *address = symbols;
  return SUCCESS;
}

API int cuFuncGetAttribute(int *value, int attribute, void *function) {
  (void)function;
  *value = attribute == 0 ? 1024 /* threads of a block */ : attribute == 4 ? 32 /* registers */ : 0;
  return SUCCESS;
}

API int cuOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, void *function, int threads, size_t shared) {
  (void)function, (void)threads, (void)shared;
  *blocks = 2;
  return SUCCESS;
}

API int cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int *blocks, void *function, int threads, size_t shared,
                                                             unsigned flags) {
  (void)flags;
  return cuOccupancyMaxActiveBlocksPerMultiprocessor(blocks, function, threads, shared);
}

API int cuOccupancyMaxPotentialBlockSize(int *grid, int *block, void *function, void *shared_of, size_t shared,
                                         int limit) {
  (void)function, (void)shared_of, (void)shared, (void)limit;
  *grid = 216;
  *block = 1024;
  return SUCCESS;
}
