// cuBLAS: handles; all that computes is a stub which launches a kernel.
#include "driver_calls.h"
#include "handles.h"

enum { NOT_INITIALIZED = 1, EXECUTION_FAILED = 13, VERSION = 120503 };

long fake_stub(const char *name, void *first) { return library_call(name, first, EXECUTION_FAILED); }

API int cublasCreate_v2(Handle **handle) {
  void *context = NULL;
  if (DRIVER(cuCtxGetCurrent, (void **), &context)) return NOT_INITIALIZED;
  *handle = handle_create();
  return 0;
}

API int cublasDestroy_v2(Handle *handle) {
  handle_destroy(handle);
  return 0;
}

API int cublasSetStream_v2(Handle *handle, void *stream) {
  handle->stream = stream;
  return 0;
}

API int cublasGetStream_v2(Handle *handle, void **stream) {
  *stream = handle->stream;
  return 0;
}

API int cublasGetVersion_v2(Handle *handle, int *version) {
  (void)handle;
  *version = VERSION;
  return 0;
}

API int cublasGetProperty(int part, int *value) {
  *value = part == 0 ? VERSION / 10000 : part == 1 ? VERSION / 100 % 100 : VERSION % 100;
  return 0;
}

API int cublasGetMathMode(Handle *handle, int *mode) {
  (void)handle;
  *mode = 0;
  return 0;
}

API int cublasGetPointerMode_v2(Handle *handle, int *mode) {
  (void)handle;
  *mode = 0;
  return 0;
}
