// cuFFT, cuSPARSE, cuSOLVER, nvJitLink and nvRTC: TensorFlow opens them, and Lockstep's networks call none of them.
#include "driver_calls.h"

long fake_stub(const char *name, void *first) {
  (void)first;
  count_stub(name);
  return 0;
}

// A library needs a function of its own, for NVIDIA's loaders and ours to find one.
API int fake_library(void) { return 0; }
