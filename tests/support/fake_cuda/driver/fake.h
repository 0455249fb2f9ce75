// What the parts of the fake driver share. Error codes and enumerations are those of the CUDA driver API.
#pragma once
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "machine.h"

#define API __attribute__((visibility("default")))

enum {
  SUCCESS = 0,
  INVALID_VALUE = 1,
  OUT_OF_MEMORY = 2,
  NOT_INITIALIZED = 3,
  NO_DEVICE = 100,
  INVALID_DEVICE = 101,
  INVALID_CONTEXT = 201,
  INVALID_HANDLE = 400,
  NOT_FOUND = 500,
  NOT_READY = 600,
  HOST_MEMORY_ALREADY_REGISTERED = 712,
  HOST_MEMORY_NOT_REGISTERED = 713,
};

// Of a copy: from the host to the device, back, or within devices.
enum copy_direction { UP, DOWN, WITHIN, COPY_DIRECTIONS };

typedef struct Stream Stream;
typedef struct Context Context;

// A device that CUDA shows to this process.
typedef struct {
  const DeviceEntry *entry;
  int ordinal;
  Context *context; // the primary context
  void *symbols; // variables of modules
  atomic_bool lost, exhausted;
  atomic_size_t used, peak; // bytes of device memory
  atomic_long launches, library_calls, copies[COPY_DIRECTIONS], bytes[COPY_DIRECTIONS];
} Device;

struct Context {
  Device *device;
  atomic_int references;
  Stream *default_stream;
  pthread_mutex_t lock;
  Stream *streams; // all of the context, for cuCtxSynchronize
};

// devices.c
bool fake_is_initialized(void);
int fake_device_count(void);
Device *fake_device(int ordinal); // NULL when there is no such device
Context *fake_current(void); // of this thread
// Returns what a call on the device must return: the error of a lost device, or SUCCESS.
int fake_health(Device *device);

// memory.c
enum memory_kind { PAGEABLE, PINNED, ON_DEVICE };
// Tells what an address is; `device`, where given, is set to the device of ON_DEVICE.
enum memory_kind fake_memory_kind(const void *address, Device **device);
// Tells whether what is in memory was really computed.
bool fake_is_computed(const void *address);
// Notes that it was: by a library that computes.
API void fake_cuda_computed(const void *address);
// Returns memory of a device for the variables of modules, all of which share it; `bytes`, where given, is its size.
void *fake_symbols(Device *device, size_t *bytes);

// Number of parts of the host's memory that are pinned.
int fake_pinned_ranges(void);

// streams.c
// Number of streams that were made and not destroyed.
int fake_open_streams(void);
// Returns the stream of a handle in a context: the default stream for the handles 0, 1 and 2.
Stream *fake_stream(Context *context, void *handle);
// Each enqueues one operation.
void fake_enqueue_copy(Stream *stream, void *to, const void *from, size_t bytes);
void fake_enqueue_set(Stream *stream, void *to, uint32_t value, int width, size_t count);
void fake_enqueue_kernel(Stream *stream);
void fake_enqueue_host_function(Stream *stream, void (*function)(void *), void *argument);
// Waits until all that was enqueued is done.
void fake_drain(Stream *stream);
void fake_drain_context(Context *context);

// record.c
// Counts an error of a call; returns `code`, for the call to return.
int fake_result(const char *call, int code);
void fake_count_init(int code);
void fake_count_host_sync(void);
// Counts a kernel by its name, which must stay.
void fake_count_kernel(const char *name);
API void fake_cuda_count_stub(const char *name);
// Writes the process's record to its file.
API void fake_cuda_write_record(void);

// Begins a call that needs a context which is current and whose device is well.
#define CURRENT(context)                                                \
  Context *context = fake_current();                                    \
  if (!fake_is_initialized()) return fake_result(__func__, NOT_INITIALIZED); \
  if (!context) return fake_result(__func__, INVALID_CONTEXT);          \
  if (fake_health(context->device)) return fake_result(__func__, fake_health(context->device))

// Begins a call of a device.
#define DEVICE(device, ordinal)                                         \
  if (!fake_is_initialized()) return fake_result(__func__, NOT_INITIALIZED); \
  Device *device = fake_device(ordinal);                                \
  if (!device) return fake_result(__func__, INVALID_DEVICE)
