// cuDNN: handles, descriptors, and one engine without workspace for every operation graph.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "driver_calls.h"
#include "handles.h"

enum { NOT_INITIALIZED = 1001, EXECUTION_FAILED = 5000, VERSION = 91002, ALGORITHM = 1, WORKSPACE_BYTES = 256 };

long fake_stub(const char *name, void *first) { return library_call(name, first, EXECUTION_FAILED); }

// cudnnCreate…Descriptor
long fake_create_stub(const char *name, void **descriptor) {
  (void)name;
  *descriptor = calloc(1, 4096);
  return 0;
}

API size_t cudnnGetVersion(void) { return VERSION; }
API size_t cudnnGetCudartVersion(void) { return 12050; }
API const char *cudnnGetErrorString(int code) { return code ? "an error of the fake cuDNN" : "no error"; }

API int cudnnGetProperty(int part, int *value) {
  *value = part == 0 ? VERSION / 10000 : part == 1 ? VERSION / 100 % 100 : VERSION % 100;
  return 0;
}

API int cudnnCreate(Handle **handle) {
  void *context = NULL;
  if (DRIVER(cuCtxGetCurrent, (void **), &context)) return NOT_INITIALIZED;
  *handle = handle_create();
  return 0;
}

API int cudnnDestroy(Handle *handle) {
  handle_destroy(handle);
  return 0;
}

API int cudnnSetStream(Handle *handle, void *stream) {
  handle->stream = stream;
  return 0;
}

API int cudnnGetStream(Handle *handle, void **stream) {
  *stream = handle->stream;
  return 0;
}

// Descriptions of tensors are counted by the type of their elements (cudnnDataType_t).
static void count_tensor(int type) {
  const char *name = type == 0 ? "tensor float" : type == 2 ? "tensor half" : type == 9 ? "tensor bfloat16" : "tensor other";
  DRIVER(fake_cuda_count_name, (const char *), name);
}

API int cudnnSetTensor4dDescriptor(void *descriptor, int format, int type, int n, int c, int h, int w) {
  (void)descriptor, (void)format, (void)n, (void)c, (void)h, (void)w;
  count_tensor(type);
  return 0;
}

API int cudnnSetTensorNdDescriptor(void *descriptor, int type, int dimensions, const int *sizes, const int *strides) {
  (void)descriptor, (void)dimensions, (void)sizes, (void)strides;
  count_tensor(type);
  return 0;
}

// cudnnConvolution…AlgoPerf_t: the same for the three directions.
typedef struct {
  int algorithm, status;
  float time;
  size_t memory;
  int determinism, math, reserved[3];
} Performance;

static int one_algorithm(int *count, Performance *result) {
  *result = (Performance){.algorithm = ALGORITHM};
  *count = 1;
  return 0;
}

#define ALGORITHM_OF(direction)                                                                            \
  API int cudnnGetConvolution##direction##Algorithm_v7(void *handle, void *a, void *b, void *c, void *d,   \
                                                       int wanted, int *count, Performance *result) {      \
    (void)handle, (void)a, (void)b, (void)c, (void)d, (void)wanted;                                        \
    return one_algorithm(count, result);                                                                   \
  }                                                                                                        \
  API int cudnnGetConvolution##direction##WorkspaceSize(void *handle, void *a, void *b, void *c, void *d,  \
                                                        int algorithm, size_t *bytes) {                    \
    (void)handle, (void)a, (void)b, (void)c, (void)d, (void)algorithm;                                     \
    *bytes = 0;                                                                                            \
    return 0;                                                                                              \
  }

ALGORITHM_OF(Forward)
ALGORITHM_OF(BackwardData)
ALGORITHM_OF(BackwardFilter)

API int cudnnGetBatchNormalizationForwardTrainingExWorkspaceSize(void *handle, int mode, int ops, void *x, void *z,
                                                                 void *y, void *scale, void *activation,
                                                                 size_t *bytes) {
  (void)handle, (void)mode, (void)ops, (void)x, (void)z, (void)y, (void)scale, (void)activation;
  *bytes = WORKSPACE_BYTES;
  return 0;
}

API int cudnnGetBatchNormalizationBackwardExWorkspaceSize(void *handle, int mode, int ops, void *x, void *y, void *dy,
                                                          void *dz, void *dx, void *scale, void *activation,
                                                          size_t *bytes) {
  (void)handle, (void)mode, (void)ops, (void)x, (void)y, (void)dy, (void)dz, (void)dx, (void)scale, (void)activation;
  *bytes = WORKSPACE_BYTES;
  return 0;
}

API int cudnnGetBatchNormalizationTrainingExReserveSpaceSize(void *handle, int mode, int ops, void *activation,
                                                             void *x, size_t *bytes) {
  (void)handle, (void)mode, (void)ops, (void)activation, (void)x;
  *bytes = WORKSPACE_BYTES;
  return 0;
}

API int cudnnBackendCreateDescriptor(int type, void **descriptor) {
  int *made = calloc(1, 256);
  *made = type;
  *descriptor = made;
  return 0;
}

API int cudnnBackendDestroyDescriptor(void *descriptor) {
  free(descriptor);
  return 0;
}

API int cudnnBackendExecute(Handle *handle, void *plan, void *pack) {
  (void)plan, (void)pack;
  return (int)library_call(__func__, handle, EXECUTION_FAILED);
}

// Attributes of cudnnBackendAttributeName_t that TensorFlow reads, and the type of a tensor.
enum {
  HEURISTIC_RESULTS = 202,
  CONFIG_ENGINE = 300,
  CONFIG_WORKSPACE = 303,
  PLAN_CONFIG = 401,
  PLAN_WORKSPACE = 402,
  PLAN_JSON = 405,
  GRAPH_ENGINES = 802,
  ENGINE_INDEX = 1301,
  TENSOR_TYPE = 901,
};

API int cudnnBackendSetAttribute(void *descriptor, int name, int type, int64_t count, const void *values) {
  (void)descriptor, (void)type;
  if (name == TENSOR_TYPE && count == 1) count_tensor(*(const int *)values);
  return 0;
}

API int cudnnBackendGetAttribute(void *descriptor, int name, int type, int64_t wanted, int64_t *count, void *values) {
  (void)descriptor, (void)type;
  static const char json[] = "{}";
  int64_t found = 1, value = 0;
  switch (name) {
    case HEURISTIC_RESULTS: case CONFIG_ENGINE: case PLAN_CONFIG: break;
    case CONFIG_WORKSPACE: case PLAN_WORKSPACE: case ENGINE_INDEX:
      if (values) *(int64_t *)values = value;
      break;
    case GRAPH_ENGINES:
      if (values) *(int64_t *)values = 1;
      break;
    case PLAN_JSON:
      found = sizeof json;
      if (values && wanted >= found) memcpy(values, json, sizeof json);
      break;
    default: found = 0;
  }
  if (count) *count = found;
  return 0;
}
