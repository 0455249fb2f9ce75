// Copies and fills, all of them operations of a stream.
#include "fake.h"

// A copy that the host waits for.
static int copy_now(const char *call, Context *context, void *to, const void *from, size_t bytes) {
  Stream *stream = fake_stream(context, NULL);
  fake_count_host_sync();
  fake_enqueue_copy(stream, to, from, bytes);
  fake_drain(stream);
  return fake_result(call, fake_health(context->device));
}

static int copy_later(Context *context, void *to, const void *from, size_t bytes, void *handle) {
  fake_enqueue_copy(fake_stream(context, handle), to, from, bytes);
  return SUCCESS;
}

#define COPY_NOW(name)                                 \
  API int name(void *to, const void *from, size_t bytes) { \
    CURRENT(context);                                  \
    return copy_now(__func__, context, to, from, bytes); \
  }

#define COPY_LATER(name)                                             \
  API int name(void *to, const void *from, size_t bytes, void *stream) { \
    CURRENT(context);                                                \
    return copy_later(context, to, from, bytes, stream);             \
  }

COPY_NOW(cuMemcpy)
COPY_NOW(cuMemcpyHtoD_v2)
COPY_NOW(cuMemcpyDtoH_v2)
COPY_NOW(cuMemcpyDtoD_v2)
COPY_LATER(cuMemcpyAsync)
COPY_LATER(cuMemcpyHtoDAsync_v2)
COPY_LATER(cuMemcpyDtoHAsync_v2)
COPY_LATER(cuMemcpyDtoDAsync_v2)

static int fill(Context *context, void *to, uint32_t value, int width, size_t count, void *handle) {
  fake_enqueue_set(fake_stream(context, handle), to, value, width, count);
  return SUCCESS;
}

API int cuMemsetD8Async(void *to, unsigned char value, size_t count, void *stream) {
  CURRENT(context);
  return fill(context, to, value, 1, count, stream);
}

API int cuMemsetD16Async(void *to, unsigned short value, size_t count, void *stream) {
  CURRENT(context);
  return fill(context, to, value, 2, count, stream);
}

API int cuMemsetD32Async(void *to, unsigned value, size_t count, void *stream) {
  CURRENT(context);
  return fill(context, to, value, 4, count, stream);
}

API int cuMemsetD8_v2(void *to, unsigned char value, size_t count) {
  return cuMemsetD8Async(to, value, count, NULL);
}

API int cuMemsetD32_v2(void *to, unsigned value, size_t count) { return cuMemsetD32Async(to, value, count, NULL); }
