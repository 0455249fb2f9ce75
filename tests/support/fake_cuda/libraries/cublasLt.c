// cuBLASLt: descriptors, and one algorithm for every product.
#include <stdlib.h>
#include <string.h>

#include "driver_calls.h"

enum { EXECUTION_FAILED = 13, VERSION = 120503, RESULT_BYTES = 96 /* cublasLtMatmulHeuristicResult_t */ };

long fake_stub(const char *name, void *first) {
  (void)first;
  count_stub(name);
  return 0;
}

API size_t cublasLtGetVersion(void) { return VERSION; }

API int cublasLtCreate(void **handle) {
  *handle = calloc(1, 64);
  return 0;
}

API int cublasLtMatmulDescCreate(void **descriptor, int compute, int scale) {
  (void)compute, (void)scale;
  *descriptor = calloc(1, 64);
  return 0;
}

API int cublasLtMatrixLayoutCreate(void **layout, int type, unsigned long rows, unsigned long columns, long leading) {
  (void)type, (void)rows, (void)columns, (void)leading;
  *layout = calloc(1, 64);
  return 0;
}

API int cublasLtMatmulPreferenceCreate(void **preference) {
  *preference = calloc(1, 64);
  return 0;
}

API int cublasLtMatmulAlgoGetHeuristic(void *handle, void *product, void *a, void *b, void *c, void *d,
                                       void *preference, int wanted, void *results, int *count) {
  (void)handle, (void)product, (void)a, (void)b, (void)c, (void)d, (void)preference;
  *count = wanted > 0;
  if (*count) memset(results, 0, RESULT_BYTES);
  return 0;
}

API int cublasLtMatmul(void *handle, void *product, void *alpha, void *a, void *a_layout, void *b, void *b_layout,
                       void *beta, void *c, void *c_layout, void *d, void *d_layout, void *algorithm,
                       void *workspace, size_t bytes, void *stream) {
  (void)handle, (void)product, (void)alpha, (void)a, (void)a_layout, (void)b, (void)b_layout, (void)beta, (void)c;
  (void)c_layout, (void)d, (void)d_layout, (void)algorithm, (void)workspace, (void)bytes;
  return DRIVER(fake_cuda_library_launch, (const char *, void *), __func__, stream) ? EXECUTION_FAILED : 0;
}
