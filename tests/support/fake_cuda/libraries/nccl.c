// NCCL over the fake driver: it really sums, over the processes that have the same unique id. The ranks of a communicator
// meet in a file beside the machine's description. Communicators are non-blocking; what is enqueued runs on the stream.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "../driver/machine.h"
#include "driver_calls.h"

enum {
  SUCCESS = 0,
  UNHANDLED_CUDA_ERROR = 1,
  SYSTEM_ERROR = 2,
  INVALID_ARGUMENT = 4,
  INVALID_USAGE = 5,
  REMOTE_ERROR = 6,
  IN_PROGRESS = 7,
};
enum { VERSION = 22707, ID_BYTES = 128, MAX_RANKS = 64, MAX_FACTORS = 64, FLOAT32 = 7, SUM = 0, FIRST_FACTOR = 5 };
enum { CHUNK = 1 << 18 }; // floats that the ranks pass on at a time
enum { LARGE = 1 << 18 }; // floats from which on the fault "largeZeros" shows

// The file in which the ranks of a communicator meet; a chunk for each rank follows.
typedef struct {
  struct {
    atomic_int joined;
    atomic_ulong arrivals; // at barriers
    size_t count; // of its current operation
    bool is_scaled;
    char uuid[UUID_LENGTH];
  } ranks[MAX_RANKS];
} Room;

typedef struct {
  unsigned long long size;
  unsigned magic, version;
  int blocking;
} Config; // the beginning of ncclConfig_t, as of 2.14

typedef struct {
  char internal[ID_BYTES];
} UniqueId;

typedef struct {
  Room *room;
  int rank, size;
  void *context;
  unsigned long barriers;
  atomic_int state; // what ncclCommGetAsyncError tells
  atomic_bool aborted;
  atomic_int pending; // operations and threads
  atomic_long operations; // that have been issued
  struct {
    bool used;
    float value;
  } factors[MAX_FACTORS];
  char error[256], path[600], record[700];
} Comm;

typedef struct {
  Comm *comm;
  const float *from;
  float *to;
  size_t count;
  float factor;
  bool is_scaled;
  void *stream;
  long number;
} Operation;

static __thread Operation group[256];
static __thread int grouped, depth;
static char last_error[256];

long fake_stub(const char *name, void *first) {
  (void)first;
  count_stub(name);
  return 0;
}

static int fail(Comm *comm, int code, const char *text) {
  snprintf(last_error, sizeof last_error, "%s", text);
  if (comm) snprintf(comm->error, sizeof comm->error, "%s", text);
  return code;
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_REALTIME, &time);
  return (double)time.tv_sec * 1e3 + (double)time.tv_nsec / 1e6;
}

static bool has_fault(const char *name) { return !strcmp(machine()->nccl_fault, name); }

// Waits until all ranks are as far as this one; false when the communicator is aborted.
static bool barrier(Comm *comm) {
  Room *room = comm->room;
  unsigned long goal = ++comm->barriers;
  atomic_store(&room->ranks[comm->rank].arrivals, goal);
  for (int rank = 0; rank < comm->size; rank++) {
    for (int i = 0; atomic_load(&room->ranks[rank].arrivals) < goal; i++) {
      if (comm->aborted) return false;
      if (i < 100) sched_yield();
      else usleep(20);
    }
  }
  return true;
}

static void await_abort(Comm *comm) {
  while (!comm->aborted) usleep(200);
}

static void note(const Operation *operation, double begin) {
  Comm *comm = operation->comm;
  if (!comm->record[0]) return;
  FILE *file = fopen(comm->record, "a");
  if (!file) return;
  fprintf(file, "{\"rank\":%d,\"number\":%ld,\"count\":%zu,\"inPlace\":%s,\"begin\":%.4f,\"end\":%.4f", comm->rank,
          operation->number, operation->count, operation->from == operation->to ? "true" : "false", begin, now());
  if (operation->is_scaled) fprintf(file, ",\"factor\":%.9g", (double)operation->factor);
  fprintf(file, "}\n");
  fclose(file);
}

static float *slot(Comm *comm, int rank) { return (float *)(comm->room + 1) + (size_t)rank * CHUNK; }

// The sum in rank order, each product and each sum rounded to float32.
static bool sum(Operation *operation) {
  Comm *comm = operation->comm;
  bool zeros = has_fault("zeros") || (has_fault("largeZeros") && operation->count >= LARGE);
  comm->room->ranks[comm->rank].count = operation->count;
  comm->room->ranks[comm->rank].is_scaled = operation->is_scaled;
  void (*computed)(const void *) = (void (*)(const void *))driver_function("fake_cuda_computed");
  computed(operation->to);
  if (!barrier(comm)) return false;
  for (int rank = 0; rank < comm->size; rank++) {
    bool is_same = comm->room->ranks[rank].is_scaled == operation->is_scaled;
    if (comm->room->ranks[rank].count == operation->count && is_same) continue;
    comm->state = fail(comm, INVALID_USAGE, "the ranks are in different operations");
    return false;
  }
  for (size_t begin = 0; begin < operation->count; begin += CHUNK) {
    size_t length = operation->count - begin < CHUNK ? operation->count - begin : CHUNK;
    float *own = slot(comm, comm->rank);
    for (size_t i = 0; i < length; i++) {
      float value = operation->from[begin + i];
      own[i] = operation->is_scaled ? value * operation->factor : value;
    }
    if (!barrier(comm)) return false;
    float *to = operation->to + begin;
    memset(to, 0, length * sizeof *to);
    for (int rank = 0; rank < comm->size; rank++) {
      if (zeros && rank != comm->rank) continue;
      const float *part = slot(comm, rank);
      for (size_t i = 0; i < length; i++) to[i] += part[i];
    }
    if (!barrier(comm)) return false;
  }
  return true;
}

// Tells whether an operation has the machine's fault.
static bool is_faulty(const Operation *operation) {
  const Machine *m = machine();
  if (operation->number <= m->nccl_after) return false;
  if (!m->nccl_once) return true;
  // The first communicator that comes as far leaves its path.
  char mark[600], owner[600] = "", *own = operation->comm->path;
  snprintf(mark, sizeof mark, "%s/nccl-fault", m->record);
  if (symlink(own, mark) == 0) return true;
  return readlink(mark, owner, sizeof owner - 1) > 0 && !strcmp(owner, own);
}

static void run(void *argument) {
  Operation *operation = argument;
  Comm *comm = operation->comm;
  double begin = now();
  bool is_late = is_faulty(operation);
  if (comm->aborted) {
    // The kernel ends at once.
  } else if (has_fault("hang") && is_late) {
    await_abort(comm);
  } else if (has_fault("remoteError") && is_late) {
    comm->state = fail(comm, REMOTE_ERROR, "socketProgress: Connection closed by remote peer");
    await_abort(comm);
  } else if (sum(operation)) {
    note(operation, begin);
  } else {
    await_abort(comm);
  }
  free(operation);
  comm->pending--;
}

static void enter(Comm *comm) { DRIVER(cuCtxPushCurrent_v2, (void *), comm->context); }
static void leave(void) {
  void *context;
  DRIVER(cuCtxPopCurrent_v2, (void **), &context);
}

typedef struct {
  int count;
  Operation *operations[256];
} Launch;

static void *launch(void *argument) {
  Launch *all = argument;
  Comm *comm = all->operations[0]->comm;
  usleep(100); // what comes before it has been enqueued would be lost on a reader
  enter(comm);
  int code = SUCCESS;
  for (int i = 0; i < all->count; i++) {
    Operation *operation = all->operations[i];
    if (DRIVER(cuLaunchHostFunc, (void *, void (*)(void *), void *), operation->stream, run, operation)) {
      code = fail(comm, UNHANDLED_CUDA_ERROR, "Cuda failure");
      comm->pending--;
    }
  }
  leave();
  int expected = IN_PROGRESS;
  atomic_compare_exchange_strong(&comm->state, &expected, code);
  comm->pending--;
  free(all);
  return NULL;
}

static int start(Comm *comm, void *(*function)(void *), void *argument) {
  comm->state = IN_PROGRESS;
  comm->pending++;
  pthread_t thread;
  if (pthread_create(&thread, NULL, function, argument)) return fail(comm, SYSTEM_ERROR, "no thread");
  pthread_detach(thread);
  return IN_PROGRESS;
}

// Tells what is wrong with a communicator that is to do something.
static int unready(Comm *comm) {
  if (!comm) return fail(NULL, INVALID_ARGUMENT, "comm argument is NULL");
  if (comm->aborted) return fail(comm, INVALID_ARGUMENT, "the communicator is aborted");
  if (comm->state == IN_PROGRESS) return fail(comm, INVALID_USAGE, "the communicator is busy: nobody has waited");
  return comm->state;
}

API int ncclGetVersion(int *version) {
  *version = VERSION;
  return SUCCESS;
}

API int ncclGetUniqueId(UniqueId *id) {
  if (has_fault("noNetwork")) return fail(NULL, SYSTEM_ERROR, "Bootstrap : no socket interface found");
  memset(id, 0, sizeof *id);
  memcpy(id->internal, "fakeNCCL", 8);
  return getrandom(id->internal + 8, 16, 0) == 16 ? SUCCESS : SYSTEM_ERROR;
}

API const char *ncclGetErrorString(int code) {
  static const char *texts[] = {"no error",
                                "unhandled cuda error (run with NCCL_DEBUG=INFO for details)",
                                "unhandled system error (run with NCCL_DEBUG=INFO for details)",
                                "internal error - please report this issue to the NCCL developers",
                                "invalid argument (run with NCCL_DEBUG=WARN for details)",
                                "invalid usage (run with NCCL_DEBUG=WARN for details)",
                                "remote process exited or there was a network error",
                                "NCCL operation in progress"};
  return code >= 0 && code <= IN_PROGRESS ? texts[code] : "unknown result code";
}

API const char *ncclGetLastError(Comm *comm) { return comm ? comm->error : last_error; }

static void *join(void *argument) {
  Comm *comm = argument;
  int code = SUCCESS;
  if (has_fault("initHang")) await_abort(comm);
  if (has_fault("initError")) code = fail(comm, SYSTEM_ERROR, "Error while creating shared memory segment");
  else if (!barrier(comm)) code = INVALID_USAGE;
  for (int rank = 0; rank < comm->size && code == SUCCESS; rank++) {
    if (rank == comm->rank || strcmp(comm->room->ranks[rank].uuid, comm->room->ranks[comm->rank].uuid)) continue;
    char text[128];
    snprintf(text, sizeof text, "Duplicate GPU detected : rank %d and rank %d both on CUDA device 1000", comm->rank, rank);
    code = fail(comm, INVALID_USAGE, text);
  }
  comm->state = code;
  comm->pending--;
  return NULL;
}

static void open_room(Comm *comm, const UniqueId *id) {
  const char *description = getenv("FAKE_CUDA_MACHINE");
  char folder[512];
  snprintf(folder, sizeof folder, "%s", description ? description : "/tmp/machine");
  char name[33];
  for (int i = 0; i < 16; i++) snprintf(name + 2 * i, 3, "%02x", (unsigned char)id->internal[8 + i]);
  snprintf(comm->path, sizeof comm->path, "%s/nccl-%s", dirname(folder), name);
  if (machine()->record[0]) {
    snprintf(comm->record, sizeof comm->record, "%s/nccl-%d-%d-%.8s.jsonl", machine()->record, (int)getpid(), comm->rank,
             name);
  }
  size_t bytes = sizeof(Room) + (size_t)comm->size * CHUNK * sizeof(float);
  int file = open(comm->path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
  if (file < 0 || ftruncate(file, (off_t)bytes)) return;
  void *room = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  if (room != MAP_FAILED) comm->room = room;
}

API int ncclCommInitRankConfig(Comm **out, int size, UniqueId id, int rank, const Config *config) {
  if (memcmp(id.internal, "fakeNCCL", 8)) return fail(NULL, INVALID_ARGUMENT, "the unique id is damaged");
  if (config && (config->magic != 0xcafebeef || config->size < 20)) {
    return fail(NULL, INVALID_ARGUMENT, "ncclConfig_t argument not initialized via NCCL_CONFIG_INITIALIZER");
  }
  if (size < 1 || size > MAX_RANKS || rank < 0 || rank >= size) return fail(NULL, INVALID_ARGUMENT, "Invalid rank");
  if (!config || config->blocking != 0) return fail(NULL, INVALID_USAGE, "the fake has no blocking communicators");
  Comm *comm = calloc(1, sizeof *comm);
  comm->rank = rank;
  comm->size = size;
  int device = 0;
  // As the CUDA runtime does: the device of the thread's context, else the first one.
  DRIVER(cuInit, (unsigned), 0);
  DRIVER(cuCtxGetCurrent, (void **), &comm->context);
  if (comm->context) DRIVER(cuCtxGetDevice, (int *), &device);
  if (DRIVER(cuDevicePrimaryCtxRetain, (void **, int), &comm->context, device)) {
    free(comm);
    return fail(NULL, UNHANDLED_CUDA_ERROR, "Cuda failure 'no CUDA-capable device is detected'");
  }
  open_room(comm, &id);
  if (!comm->room) return fail(NULL, SYSTEM_ERROR, "no shared memory");
  unsigned char uuid[16] = {0};
  DRIVER(cuDeviceGetUuid_v2, (unsigned char *, int), uuid, device);
  for (int i = 0; i < 16; i++) snprintf(comm->room->ranks[rank].uuid + 2 * i, 3, "%02x", uuid[i]);
  *out = comm;
  return start(comm, join, comm);
}

API int ncclCommGetAsyncError(Comm *comm, int *code) {
  *code = comm->state;
  return SUCCESS;
}

API int ncclRedOpCreatePreMulSum(int *op, const float *factor, int type, int residence, Comm *comm) {
  int code = unready(comm);
  if (code) return code;
  if (type != FLOAT32 || residence != 1) return fail(comm, INVALID_ARGUMENT, "the fake takes float32 of the host");
  for (int i = 0; i < MAX_FACTORS; i++) {
    if (comm->factors[i].used) continue;
    comm->factors[i].used = true;
    comm->factors[i].value = *factor;
    *op = FIRST_FACTOR + i;
    return SUCCESS;
  }
  return fail(comm, INVALID_USAGE, "nobody destroys reduction operators");
}

API int ncclRedOpDestroy(int op, Comm *comm) {
  int at = op - FIRST_FACTOR;
  if (at < 0 || at >= MAX_FACTORS || !comm->factors[at].used) return fail(comm, INVALID_ARGUMENT, "not an operator");
  comm->factors[at].used = false;
  return SUCCESS;
}

API int ncclGroupStart(void) {
  depth++;
  return SUCCESS;
}

API int ncclGroupEnd(void) {
  if (depth == 0) return fail(NULL, INVALID_USAGE, "ncclGroupEnd: not in a group call");
  if (--depth > 0 || grouped == 0) return SUCCESS;
  Comm *comm = group[0].comm; // one communicator for a thread
  Launch *all = calloc(1, sizeof *all);
  all->count = grouped;
  for (int i = 0; i < grouped; i++) {
    all->operations[i] = memcpy(malloc(sizeof(Operation)), &group[i], sizeof(Operation));
    comm->pending++;
  }
  grouped = 0;
  return start(comm, launch, all);
}

// The device of an address, or -1.
static int device_of(const void *address) {
  int device = -1;
  unsigned kind = 0;
  if (DRIVER(cuPointerGetAttribute, (void *, int, void *), &kind, 2, (void *)address) || kind != 2) return -1;
  DRIVER(cuPointerGetAttribute, (void *, int, void *), &device, 9, (void *)address);
  return device;
}

API int ncclAllReduce(const float *from, float *to, size_t count, int type, int op, Comm *comm, void *stream) {
  int code = unready(comm);
  if (code) return code;
  if (type != FLOAT32) return fail(comm, INVALID_ARGUMENT, "the fake sums float32");
  int at = op - FIRST_FACTOR;
  bool is_scaled = op >= FIRST_FACTOR;
  if (op != SUM && (at >= MAX_FACTORS || !is_scaled || !comm->factors[at].used)) {
    return fail(comm, INVALID_ARGUMENT, "not an operator");
  }
  enter(comm);
  int device = -1;
  DRIVER(cuCtxGetDevice, (int *), &device);
  bool is_here = count == 0 || (device_of(from) == device && device_of(to) == device);
  leave();
  if (!is_here) return fail(comm, INVALID_ARGUMENT, "AllReduce : buffer is not a valid pointer of the device");
  if (grouped == 256) return fail(comm, INVALID_USAGE, "too many operations in a group");
  if (from != to) memset(to, 0xff, count * sizeof *to); // who reads too early reads something else
  ncclGroupStart();
  group[grouped++] = (Operation){.comm = comm, .from = from, .to = to, .count = count, .is_scaled = is_scaled,
                                 .factor = is_scaled ? comm->factors[at].value : 1, .stream = stream,
                                 .number = ++comm->operations};
  return ncclGroupEnd();
}

// Ends what is going on; as with NVIDIA's, the other ranks wait until they abort, too.
API int ncclCommAbort(Comm *comm) {
  comm->aborted = true;
  while (comm->pending > 0) usleep(50);
  return SUCCESS; // the small record stays: a late call must find it
}

static void *finalize(void *argument) {
  Comm *comm = argument;
  while (comm->pending > 1 && !comm->aborted) usleep(50);
  comm->state = SUCCESS;
  comm->pending--;
  return NULL;
}

API int ncclCommFinalize(Comm *comm) {
  int code = unready(comm);
  return code ? code : start(comm, finalize, comm);
}

API int ncclCommDestroy(Comm *comm) {
  while (comm->pending > 0) usleep(50);
  comm->aborted = true;
  unlink(comm->path);
  return SUCCESS;
}
