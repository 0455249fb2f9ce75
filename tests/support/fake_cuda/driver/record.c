// The record of a process: what it did with its devices, as JSON in `<folder>/<pid>.json`. It is written when a
// context is made, when an error comes up, about every 200 ms while the host waits, and at exit.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fake.h"

enum { MAX_ERRORS = 64, MAX_NAMES = 4096, INTERVAL_MILLIS = 200 };

static struct { const char *call; int code; long count; } errors[MAX_ERRORS];
static int error_count;
static struct Names { int size; struct { const char *name; long count; } entries[MAX_NAMES]; } stubs, kernels;
static int init_calls, init_code;
static atomic_long host_syncs;
static long long last_written;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static long long now_millis(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

static void write_device(FILE *file, Device *device) {
  fprintf(file,
          "{\"uuid\":\"%s\",\"hasContext\":%s,\"isLost\":%s,\"launches\":%ld,\"libraryCalls\":%ld,"
          "\"copiesUp\":%ld,\"bytesUp\":%ld,\"copiesDown\":%ld,\"bytesDown\":%ld,"
          "\"copiesWithin\":%ld,\"bytesWithin\":%ld,\"usedBytes\":%zu,\"peakBytes\":%zu}",
          device->entry->uuid, device->context ? "true" : "false", device->lost ? "true" : "false",
          (long)device->launches, (long)device->library_calls, (long)device->copies[UP], (long)device->bytes[UP],
          (long)device->copies[DOWN], (long)device->bytes[DOWN], (long)device->copies[WITHIN],
          (long)device->bytes[WITHIN], (size_t)device->used, (size_t)device->peak);
}

static void write_names(FILE *file, const struct Names *names) {
  fputc('{', file);
  for (int i = 0; i < names->size; i++) {
    fprintf(file, "%s\"%s\":%ld", i ? "," : "", names->entries[i].name, names->entries[i].count);
  }
  fputc('}', file);
}

static void write_locked(void) {
  const char *folder = machine()->record;
  if (!*folder) return;
  char path[600], temporary[600];
  snprintf(path, sizeof path, "%s/%d.json", folder, getpid());
  snprintf(temporary, sizeof temporary, "%s/%d.tmp", folder, getpid());
  FILE *file = fopen(temporary, "w");
  if (!file) return; // the folder is gone: the test is over
  fprintf(file, "{\"pid\":%d,\"initCalls\":%d,\"initCode\":%d,\"hostSyncs\":%ld,\"pinnedRanges\":%d,\"openStreams\":%d,"
          "\"devices\":[", getpid(), init_calls, init_code, (long)host_syncs, fake_pinned_ranges(), fake_open_streams());
  for (int i = 0; i < fake_device_count(); i++) {
    if (i) fputc(',', file);
    write_device(file, fake_device(i));
  }
  fprintf(file, "],\"errors\":[");
  for (int i = 0; i < error_count; i++) {
    fprintf(file, "%s{\"call\":\"%s\",\"code\":%d,\"count\":%ld}", i ? "," : "", errors[i].call, errors[i].code,
            errors[i].count);
  }
  fprintf(file, "],\"stubs\":");
  write_names(file, &stubs);
  fprintf(file, ",\"kernels\":");
  write_names(file, &kernels);
  fprintf(file, "}\n");
  fclose(file);
  rename(temporary, path);
  last_written = now_millis();
}

API void fake_cuda_write_record(void) {
  pthread_mutex_lock(&lock);
  write_locked();
  pthread_mutex_unlock(&lock);
}

int fake_result(const char *call, int code) {
  if (code == SUCCESS) return code;
  pthread_mutex_lock(&lock);
  int at = 0;
  while (at < error_count && (errors[at].code != code || strcmp(errors[at].call, call))) at++;
  if (at < MAX_ERRORS) {
    bool is_new = at == error_count;
    if (is_new) error_count++;
    errors[at].call = call;
    errors[at].code = code;
    errors[at].count++;
    if (is_new) write_locked();
  }
  pthread_mutex_unlock(&lock);
  return code;
}

void fake_count_init(int code) {
  pthread_mutex_lock(&lock);
  init_calls++;
  init_code = code;
  write_locked();
  pthread_mutex_unlock(&lock);
}

void fake_count_host_sync(void) {
  host_syncs++;
  if (now_millis() - last_written > INTERVAL_MILLIS) fake_cuda_write_record();
}

static void count_name(struct Names *names, const char *name) {
  pthread_mutex_lock(&lock);
  int at = 0;
  while (at < names->size && names->entries[at].name != name && strcmp(names->entries[at].name, name)) at++;
  if (at < MAX_NAMES) {
    if (at == names->size) names->size++;
    names->entries[at].name = name;
    names->entries[at].count++;
  }
  pthread_mutex_unlock(&lock);
}

// A call of a function that the fake has no code for; it returned 0.
API void fake_cuda_count_stub(const char *name) { count_name(&stubs, name); }

void fake_count_kernel(const char *name) { count_name(&kernels, name); }

// As fake_count_kernel(), for the fakes of the libraries.
API int fake_cuda_count_name(const char *name) {
  count_name(&kernels, name);
  return SUCCESS;
}

// A function of the driver without code here.
long fake_stub(const char *name, void *first) {
  (void)first;
  fake_cuda_count_stub(name);
  return SUCCESS;
}

__attribute__((constructor)) static void write_at_exit(void) { atexit(fake_cuda_write_record); }
