// Streams and events. A stream is a queue with a thread that works it off, each operation after a random delay, so
// that whoever reads a result without having waited for it reads something else.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fake.h"

enum kind { COPY, SET, KERNEL, HOST_FUNCTION, RECORD_EVENT, WAIT_EVENT, WAIT_VALUE, WRITE_VALUE };

typedef struct Event {
  pthread_mutex_t lock;
  pthread_cond_t changed;
  uint64_t recorded; // calls of cuEventRecord
  uint64_t done; // the last of them that its stream has reached
  Device *device;
} Event;

typedef struct Operation {
  enum kind kind;
  struct Operation *next;
  void *to;
  const void *from;
  void *staged; // copy of pageable memory, made when the operation was enqueued
  size_t bytes;
  uint32_t value;
  int width; // bytes of the value that SET writes
  unsigned flags;
  Event *event;
  uint64_t record; // of the event
  void (*function)(void *);
} Operation;

struct Stream {
  Context *context;
  Stream *next; // of the context
  pthread_mutex_t lock;
  pthread_cond_t changed;
  Operation *first, *last;
  uint64_t enqueued, done;
  bool ended;
  unsigned seed, flags;
  int priority;
};

static atomic_uint stream_number;

// What memory holds between the beginning of a copy and its end: NaN as float32, float16 and bfloat16, -1 as integer.
enum { POISON = 0xff };

static void delay(Stream *stream, enum kind kind) {
  int limit = machine()->max_delay_micros;
  if (limit == 0) return;
  unsigned number = (unsigned)rand_r(&stream->seed);
  // Kernels are many: most of them take no time.
  if (kind == KERNEL && number % 16) return;
  usleep((number / 16) % (unsigned)(limit + 1));
}

static void copy(Stream *stream, const Operation *operation) {
  Device *from_device = NULL, *to_device = NULL;
  const void *from = operation->staged ? operation->staged : operation->from;
  fake_memory_kind(operation->to, &to_device);
  fake_memory_kind(operation->from, &from_device);
  if (machine()->max_delay_micros) memset(operation->to, POISON, operation->bytes);
  delay(stream, COPY);
  Device *device = stream->context->device;
  bool is_result = from_device && !to_device && device->launches && !fake_is_computed(operation->from);
  if (is_result && machine()->zero_results) {
    memset(operation->to, 0, operation->bytes);
  } else {
    memmove(operation->to, from, operation->bytes);
  }
  enum copy_direction direction = from_device && to_device ? WITHIN : to_device ? UP : DOWN;
  device->copies[direction]++;
  device->bytes[direction] += (long)operation->bytes;
}

static void set(const Operation *operation) {
  for (size_t i = 0; i < operation->bytes; i++) {
    memcpy((char *)operation->to + i * (size_t)operation->width, &operation->value, (size_t)operation->width);
  }
}

static void finish_record(const Operation *operation) {
  Event *event = operation->event;
  pthread_mutex_lock(&event->lock);
  if (operation->record > event->done) event->done = operation->record;
  pthread_cond_broadcast(&event->changed);
  pthread_mutex_unlock(&event->lock);
}

static void await_event(Event *event, uint64_t record) {
  pthread_mutex_lock(&event->lock);
  while (event->done < record) pthread_cond_wait(&event->changed, &event->lock);
  pthread_mutex_unlock(&event->lock);
}

// CUstreamWaitValue_flags: 0 at least (in modular arithmetic), 1 equal, 2 any bit in common, 3 any bit of neither.
static bool holds(const Operation *operation) {
  uint32_t now = __atomic_load_n((const uint32_t *)operation->from, __ATOMIC_ACQUIRE);
  switch (operation->flags & 3) {
    case 0: return (int32_t)(now - operation->value) >= 0;
    case 1: return now == operation->value;
    case 2: return (now & operation->value) != 0;
    default: return ~(now | operation->value) != 0;
  }
}

static void run(Stream *stream, Operation *operation) {
  Device *device = stream->context->device;
  // On a lost device nothing is computed any more; those who wait are released, and get the error.
  if (fake_health(device) && operation->kind != RECORD_EVENT && operation->kind != HOST_FUNCTION) return;
  if (operation->kind != COPY) delay(stream, operation->kind);
  switch (operation->kind) {
    case COPY: copy(stream, operation); break;
    case SET: set(operation); break;
    case KERNEL: break; // computes nothing: the numbers of a fake are no numbers
    case HOST_FUNCTION: operation->function(operation->to); break;
    case RECORD_EVENT: finish_record(operation); break;
    case WAIT_EVENT: await_event(operation->event, operation->record); break;
    case WAIT_VALUE:
      while (!holds(operation) && !fake_health(device)) usleep(50);
      break;
    case WRITE_VALUE: __atomic_store_n((uint32_t *)operation->to, operation->value, __ATOMIC_RELEASE); break;
  }
}

static void *work(void *argument) {
  Stream *stream = argument;
  for (;;) {
    pthread_mutex_lock(&stream->lock);
    while (!stream->first && !stream->ended) pthread_cond_wait(&stream->changed, &stream->lock);
    Operation *operation = stream->first;
    pthread_mutex_unlock(&stream->lock);
    if (!operation) return NULL; // ended, and nothing left; the small record of the stream stays
    run(stream, operation);
    pthread_mutex_lock(&stream->lock);
    stream->first = operation->next;
    if (!stream->first) stream->last = NULL;
    stream->done++;
    pthread_cond_broadcast(&stream->changed);
    pthread_mutex_unlock(&stream->lock);
    free(operation->staged);
    free(operation);
  }
}

static Stream *create(Context *context, unsigned flags, int priority) {
  Stream *stream = calloc(1, sizeof *stream);
  stream->context = context;
  stream->flags = flags;
  stream->priority = priority;
  stream->seed = machine()->seed * 7919u + ++stream_number;
  pthread_mutex_init(&stream->lock, NULL);
  pthread_cond_init(&stream->changed, NULL);
  stream->next = context->streams;
  context->streams = stream;
  pthread_t thread;
  if (pthread_create(&thread, NULL, work, stream)) {
    fprintf(stderr, "fake CUDA: no thread for a stream\n");
    abort();
  }
  pthread_detach(thread);
  return stream;
}

Stream *fake_stream(Context *context, void *handle) {
  if ((uintptr_t)handle > 2) return handle;
  // A stream of its own that waits for no other: CUDA's would wait for those that aren't "non-blocking".
  pthread_mutex_lock(&context->lock);
  if (!context->default_stream) context->default_stream = create(context, 0, 0);
  pthread_mutex_unlock(&context->lock);
  return context->default_stream;
}

static void enqueue(Stream *stream, Operation values) {
  Operation *operation = malloc(sizeof *operation);
  *operation = values;
  pthread_mutex_lock(&stream->lock);
  if (stream->last) stream->last->next = operation;
  else stream->first = operation;
  stream->last = operation;
  stream->enqueued++;
  pthread_cond_broadcast(&stream->changed);
  pthread_mutex_unlock(&stream->lock);
}

void fake_enqueue_copy(Stream *stream, void *to, const void *from, size_t bytes) {
  if (bytes == 0) return;
  // As the driver does: pageable memory is read before the call returns, and filled before it returns.
  void *staged = NULL;
  if (fake_memory_kind(from, NULL) == PAGEABLE) staged = memcpy(malloc(bytes), from, bytes);
  enqueue(stream, (Operation){.kind = COPY, .to = to, .from = from, .staged = staged, .bytes = bytes});
  if (fake_memory_kind(to, NULL) == PAGEABLE) fake_drain(stream);
}

void fake_enqueue_set(Stream *stream, void *to, uint32_t value, int width, size_t count) {
  enqueue(stream, (Operation){.kind = SET, .to = to, .value = value, .width = width, .bytes = count});
}

void fake_enqueue_kernel(Stream *stream) { enqueue(stream, (Operation){.kind = KERNEL}); }

void fake_enqueue_host_function(Stream *stream, void (*function)(void *), void *argument) {
  enqueue(stream, (Operation){.kind = HOST_FUNCTION, .function = function, .to = argument});
}

void fake_drain(Stream *stream) {
  pthread_mutex_lock(&stream->lock);
  uint64_t goal = stream->enqueued;
  while (stream->done < goal) pthread_cond_wait(&stream->changed, &stream->lock);
  pthread_mutex_unlock(&stream->lock);
}

void fake_drain_context(Context *context) {
  pthread_mutex_lock(&context->lock);
  Stream *stream = context->streams;
  pthread_mutex_unlock(&context->lock);
  for (; stream; stream = stream->next) fake_drain(stream);
}

static atomic_int open_streams;

int fake_open_streams(void) { return open_streams; }

API int cuStreamCreateWithPriority(Stream **stream, unsigned flags, int priority) {
  CURRENT(context);
  open_streams++;
  pthread_mutex_lock(&context->lock);
  *stream = create(context, flags, priority);
  pthread_mutex_unlock(&context->lock);
  return SUCCESS;
}

API int cuStreamCreate(Stream **stream, unsigned flags) { return cuStreamCreateWithPriority(stream, flags, 0); }

API int cuStreamDestroy_v2(Stream *stream) {
  CURRENT(context);
  if ((uintptr_t)stream <= 2) return fake_result(__func__, INVALID_HANDLE);
  open_streams--;
  pthread_mutex_lock(&stream->lock);
  stream->ended = true; // what is enqueued is still worked off
  pthread_cond_broadcast(&stream->changed);
  pthread_mutex_unlock(&stream->lock);
  return SUCCESS;
}

API int cuStreamSynchronize(void *handle) {
  CURRENT(context);
  fake_count_host_sync();
  fake_drain(fake_stream(context, handle));
  return fake_result(__func__, fake_health(context->device));
}

API int cuStreamQuery(void *handle) {
  CURRENT(context);
  Stream *stream = fake_stream(context, handle);
  pthread_mutex_lock(&stream->lock);
  bool done = stream->done == stream->enqueued;
  pthread_mutex_unlock(&stream->lock);
  return done ? SUCCESS : NOT_READY;
}

API int cuStreamGetPriority(void *handle, int *priority) {
  CURRENT(context);
  *priority = fake_stream(context, handle)->priority;
  return SUCCESS;
}

API int cuStreamGetFlags(void *handle, unsigned *flags) {
  CURRENT(context);
  *flags = fake_stream(context, handle)->flags;
  return SUCCESS;
}

API int cuStreamGetCtx(void *handle, Context **of) {
  CURRENT(context);
  *of = fake_stream(context, handle)->context;
  return SUCCESS;
}

API int cuStreamIsCapturing(void *handle, int *status) {
  CURRENT(context);
  (void)handle, (void)context;
  *status = 0;
  return SUCCESS;
}

API int cuLaunchHostFunc(void *handle, void (*function)(void *), void *argument) {
  CURRENT(context);
  fake_enqueue_host_function(fake_stream(context, handle), function, argument);
  return SUCCESS;
}

// A call of an older kind of function, which also gets the stream and its state.
typedef struct {
  void (*function)(void *stream, int code, void *argument);
  void *handle, *argument;
  Device *device;
} Callback;

static void call_back(void *argument) {
  Callback callback = *(Callback *)argument;
  free(argument);
  callback.function(callback.handle, fake_health(callback.device), callback.argument);
}

API int cuStreamAddCallback(void *handle, void (*function)(void *, int, void *), void *argument, unsigned flags) {
  CURRENT(context);
  (void)flags;
  Callback *callback = malloc(sizeof *callback);
  *callback = (Callback){function, handle, argument, context->device};
  fake_enqueue_host_function(fake_stream(context, handle), call_back, callback);
  return SUCCESS;
}

API int cuStreamWaitEvent(void *handle, Event *event, unsigned flags) {
  CURRENT(context);
  (void)flags;
  if (!event) return fake_result(__func__, INVALID_HANDLE);
  pthread_mutex_lock(&event->lock);
  uint64_t record = event->recorded; // an event that was never recorded holds nobody up
  pthread_mutex_unlock(&event->lock);
  enqueue(fake_stream(context, handle), (Operation){.kind = WAIT_EVENT, .event = event, .record = record});
  return SUCCESS;
}

API int cuStreamWaitValue32_v2(void *handle, void *address, uint32_t value, unsigned flags) {
  CURRENT(context);
  if (fake_memory_kind(address, NULL) == PAGEABLE) return fake_result(__func__, INVALID_VALUE);
  enqueue(fake_stream(context, handle),
          (Operation){.kind = WAIT_VALUE, .from = address, .value = value, .flags = flags});
  return SUCCESS;
}

API int cuStreamWaitValue32(void *handle, void *address, uint32_t value, unsigned flags) {
  return cuStreamWaitValue32_v2(handle, address, value, flags);
}

API int cuStreamWriteValue32_v2(void *handle, void *address, uint32_t value, unsigned flags) {
  CURRENT(context);
  (void)flags;
  if (fake_memory_kind(address, NULL) == PAGEABLE) return fake_result(__func__, INVALID_VALUE);
  enqueue(fake_stream(context, handle), (Operation){.kind = WRITE_VALUE, .to = address, .value = value});
  return SUCCESS;
}

API int cuStreamWriteValue32(void *handle, void *address, uint32_t value, unsigned flags) {
  return cuStreamWriteValue32_v2(handle, address, value, flags);
}

API int cuEventCreate(Event **event, unsigned flags) {
  CURRENT(context);
  (void)flags;
  *event = calloc(1, sizeof **event);
  pthread_mutex_init(&(*event)->lock, NULL);
  pthread_cond_init(&(*event)->changed, NULL);
  (*event)->device = context->device;
  return SUCCESS;
}

// The event stays: an operation that waits for it may still be enqueued.
API int cuEventDestroy_v2(Event *event) {
  CURRENT(context);
  (void)context;
  return event ? SUCCESS : fake_result(__func__, INVALID_HANDLE);
}

API int cuEventRecord(Event *event, void *handle) {
  CURRENT(context);
  if (!event) return fake_result(__func__, INVALID_HANDLE);
  pthread_mutex_lock(&event->lock);
  uint64_t record = ++event->recorded;
  pthread_mutex_unlock(&event->lock);
  enqueue(fake_stream(context, handle), (Operation){.kind = RECORD_EVENT, .event = event, .record = record});
  return SUCCESS;
}

API int cuEventRecordWithFlags(Event *event, void *handle, unsigned flags) {
  (void)flags;
  return cuEventRecord(event, handle);
}

API int cuEventQuery(Event *event) {
  CURRENT(context);
  (void)context;
  pthread_mutex_lock(&event->lock);
  bool done = event->done == event->recorded;
  pthread_mutex_unlock(&event->lock);
  return done ? SUCCESS : NOT_READY;
}

API int cuEventSynchronize(Event *event) {
  CURRENT(context);
  fake_count_host_sync();
  await_event(event, event->recorded);
  return fake_result(__func__, fake_health(context->device));
}

API int cuEventElapsedTime(float *millis, Event *from, Event *to) {
  CURRENT(context);
  (void)context;
  if (from->done < from->recorded || to->done < to->recorded) return NOT_READY;
  *millis = 0.01f; // a time that nobody measured
  return SUCCESS;
}

API int cuEventElapsedTime_v2(float *millis, Event *from, Event *to) { return cuEventElapsedTime(millis, from, to); }
