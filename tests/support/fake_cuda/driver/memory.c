// Memory: of devices, which is memory of this process by another name, and pinned memory of the host.
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "fake.h"

typedef struct {
  char *base;
  size_t bytes;
  Device *device; // NULL for memory of the host
  bool is_computed; // what is in it was really computed
} Range;

static Range *ranges;
static int range_count, range_capacity;
static int allocations;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

// The ranges are few: TensorFlow allocates large blocks and divides them itself.
static Range *find(const void *address) {
  for (int i = range_count - 1; i >= 0; i--) {
    if ((char *)address >= ranges[i].base && (char *)address < ranges[i].base + ranges[i].bytes) return &ranges[i];
  }
  return NULL;
}

static void add(void *base, size_t bytes, Device *device) {
  if (range_count == range_capacity) {
    range_capacity = range_capacity ? 2 * range_capacity : 256;
    ranges = realloc(ranges, (size_t)range_capacity * sizeof *ranges);
  }
  ranges[range_count++] = (Range){base, bytes, device, false};
}

static bool take(const void *base, Range *taken) {
  bool found = false;
  pthread_mutex_lock(&lock);
  for (int i = 0; i < range_count && !found; i++) {
    if (ranges[i].base != base) continue;
    *taken = ranges[i];
    ranges[i] = ranges[--range_count];
    found = true;
  }
  pthread_mutex_unlock(&lock);
  return found;
}

enum memory_kind fake_memory_kind(const void *address, Device **device) {
  pthread_mutex_lock(&lock);
  Range *range = find(address);
  enum memory_kind kind = !range ? PAGEABLE : range->device ? ON_DEVICE : PINNED;
  if (device && kind == ON_DEVICE) *device = range->device;
  pthread_mutex_unlock(&lock);
  return kind;
}

API void fake_cuda_computed(const void *address) {
  pthread_mutex_lock(&lock);
  Range *range = find(address);
  if (range) range->is_computed = true;
  pthread_mutex_unlock(&lock);
}

bool fake_is_computed(const void *address) {
  pthread_mutex_lock(&lock);
  Range *range = find(address);
  bool is_computed = range && range->is_computed;
  pthread_mutex_unlock(&lock);
  return is_computed;
}

int fake_pinned_ranges(void) {
  int count = 0;
  pthread_mutex_lock(&lock);
  for (int i = 0; i < range_count; i++) count += !ranges[i].device;
  pthread_mutex_unlock(&lock);
  return count;
}

static void *map(size_t bytes) {
  void *base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return base == MAP_FAILED ? NULL : base;
}

void *fake_symbols(Device *device, size_t *bytes) {
  enum { BYTES = 65536 };
  pthread_mutex_lock(&lock);
  if (!device->symbols) {
    device->symbols = map(BYTES);
    add(device->symbols, BYTES, device);
  }
  pthread_mutex_unlock(&lock);
  if (bytes) *bytes = BYTES;
  return device->symbols;
}

API int cuMemAlloc_v2(void **address, size_t bytes) {
  CURRENT(context);
  Device *device = context->device;
  *address = NULL;
  if (bytes == 0) return fake_result(__func__, INVALID_VALUE);
  pthread_mutex_lock(&lock);
  int limit = machine()->alloc_error_after;
  bool full = device->exhausted || device->used + bytes > device->entry->memory || (limit >= 0 && allocations >= limit);
  void *base = full ? NULL : map(bytes);
  if (base) {
    add(base, bytes, device);
    allocations++;
    device->used += bytes;
    if (device->used > device->peak) device->peak = (size_t)device->used;
  }
  pthread_mutex_unlock(&lock);
  if (!base) return fake_result(__func__, OUT_OF_MEMORY);
  *address = base;
  return SUCCESS;
}

API int cuMemFree_v2(void *address) {
  CURRENT(context);
  if (!address) return SUCCESS;
  fake_drain_context(context);
  Range range;
  if (!take(address, &range) || !range.device) return fake_result(__func__, INVALID_VALUE);
  range.device->used -= range.bytes;
  munmap(range.base, range.bytes);
  return SUCCESS;
}

API int cuMemGetInfo_v2(size_t *available, size_t *total) {
  CURRENT(context);
  *total = context->device->entry->memory;
  *available = *total - context->device->used;
  return SUCCESS;
}

API int cuMemGetAddressRange_v2(void **base, size_t *bytes, void *address) {
  CURRENT(context);
  pthread_mutex_lock(&lock);
  Range *range = find(address);
  bool found = range && range->device;
  if (found && base) *base = range->base;
  if (found && bytes) *bytes = range->bytes;
  pthread_mutex_unlock(&lock);
  return found ? SUCCESS : fake_result(__func__, INVALID_VALUE);
}

static int allocate_pinned(const char *call, void **address, size_t bytes) {
  *address = map(bytes);
  if (!*address) return fake_result(call, OUT_OF_MEMORY);
  pthread_mutex_lock(&lock);
  add(*address, bytes, NULL);
  pthread_mutex_unlock(&lock);
  return SUCCESS;
}

API int cuMemAllocHost_v2(void **address, size_t bytes) {
  CURRENT(context);
  return allocate_pinned(__func__, address, bytes);
}

API int cuMemHostAlloc(void **address, size_t bytes, unsigned flags) {
  (void)flags;
  CURRENT(context);
  return allocate_pinned(__func__, address, bytes);
}

API int cuMemFreeHost(void *address) {
  CURRENT(context);
  fake_drain_context(context);
  Range range;
  if (!take(address, &range)) return fake_result(__func__, INVALID_VALUE);
  munmap(range.base, range.bytes);
  return SUCCESS;
}

API int cuMemHostRegister_v2(void *address, size_t bytes, unsigned flags) {
  (void)flags;
  CURRENT(context);
  pthread_mutex_lock(&lock);
  bool known = find(address) || find((char *)address + bytes - 1);
  if (!known) add(address, bytes, NULL);
  pthread_mutex_unlock(&lock);
  return known ? fake_result(__func__, HOST_MEMORY_ALREADY_REGISTERED) : SUCCESS;
}

API int cuMemHostUnregister(void *address) {
  CURRENT(context);
  Range range;
  return take(address, &range) ? SUCCESS : fake_result(__func__, HOST_MEMORY_NOT_REGISTERED);
}

API int cuMemHostGetDevicePointer_v2(void **on_device, void *address, unsigned flags) {
  (void)flags;
  CURRENT(context);
  if (fake_memory_kind(address, NULL) != PINNED) return fake_result(__func__, INVALID_VALUE);
  *on_device = address;
  return SUCCESS;
}

API int cuPointerGetAttribute(void *value, int attribute, void *address) {
  Device *device = NULL;
  enum memory_kind kind = fake_memory_kind(address, &device);
  if (kind == PAGEABLE) return INVALID_VALUE; // memory that the driver doesn't know
  Context *current = fake_current();
  switch (attribute) {
    case 1: *(Context **)value = device ? device->context : current; break;
    case 2: *(unsigned *)value = kind == ON_DEVICE ? 2 : 1; break;
    case 3: case 4: *(void **)value = address; break;
    case 8: *(unsigned *)value = 0; break; // managed
    case 9: *(int *)value = device ? device->ordinal : current ? current->device->ordinal : 0; break;
    default: *(unsigned *)value = 0;
  }
  return SUCCESS;
}
