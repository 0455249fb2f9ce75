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

// Tells whether an address can be that of a device: its memory, or pinned memory of the host.
static bool reachable(const void *address) { return fake_memory_kind(address, NULL) != PAGEABLE; }

#define COPY(name, is_valid)                                                   \
  API int name##_v2(void *to, const void *from, size_t bytes) {                \
    CURRENT(context);                                                          \
    if (!(is_valid)) return fake_result(__func__, INVALID_VALUE);              \
    return copy_now(__func__, context, to, from, bytes);                       \
  }                                                                            \
  API int name##Async_v2(void *to, const void *from, size_t bytes, void *stream) { \
    CURRENT(context);                                                          \
    if (!(is_valid)) return fake_result(__func__, INVALID_VALUE);              \
    return copy_later(context, to, from, bytes, stream);                       \
  }

COPY(cuMemcpyHtoD, reachable(to) && from)
COPY(cuMemcpyDtoH, reachable(from) && to)
COPY(cuMemcpyDtoD, reachable(from) && reachable(to))

API int cuMemcpy(void *to, const void *from, size_t bytes) {
  CURRENT(context);
  if (!to || !from) return fake_result(__func__, INVALID_VALUE);
  return copy_now(__func__, context, to, from, bytes);
}

API int cuMemcpyAsync(void *to, const void *from, size_t bytes, void *stream) {
  CURRENT(context);
  if (!to || !from) return fake_result(__func__, INVALID_VALUE);
  return copy_later(context, to, from, bytes, stream);
}

static int fill(const char *call, Context *context, void *to, uint32_t value, int width, size_t count, void *handle) {
  if (!reachable(to)) return fake_result(call, INVALID_VALUE);
  fake_enqueue_set(fake_stream(context, handle), to, value, width, count);
  return SUCCESS;
}

API int cuMemsetD8Async(void *to, unsigned char value, size_t count, void *stream) {
  CURRENT(context);
  return fill(__func__, context, to, value, 1, count, stream);
}

API int cuMemsetD16Async(void *to, unsigned short value, size_t count, void *stream) {
  CURRENT(context);
  return fill(__func__, context, to, value, 2, count, stream);
}

API int cuMemsetD32Async(void *to, unsigned value, size_t count, void *stream) {
  CURRENT(context);
  return fill(__func__, context, to, value, 4, count, stream);
}

API int cuMemsetD8_v2(void *to, unsigned char value, size_t count) {
  return cuMemsetD8Async(to, value, count, NULL);
}

API int cuMemsetD32_v2(void *to, unsigned value, size_t count) { return cuMemsetD32Async(to, value, count, NULL); }
