// The machine that the fake stands for, as the file in FAKE_CUDA_MACHINE describes it.
#pragma once
#include <stdbool.h>
#include <stddef.h>

enum { MAX_DEVICES = 64, UUID_LENGTH = 64 };

// A GPU, or an instance of a GPU in MIG mode.
typedef struct {
  char uuid[UUID_LENGTH];
  char bus[32];
  char name[96];
  size_t memory; // bytes
  int major, minor; // compute capability
  int parent; // of a MIG instance: index of its GPU; -1 for a GPU
  bool is_mig; // a GPU that computes through its instances alone
} DeviceEntry;

typedef struct {
  DeviceEntry devices[MAX_DEVICES];
  int device_count;
  int driver_version; // as cuDriverGetVersion tells it: 12080 for 12.8
  char driver_name[32]; // such as 570.86.10
  int init_error; // what cuInit returns
  unsigned seed; // of the delays
  int max_delay_micros; // of an operation of a stream; 0 for none
  int module_load_millis; // time of a module's first loading
  int lost_device; // entry that falls off the bus; -1 for none
  long lost_after_launches;
  int lost_error; // what every call returns from then on; OUT_OF_MEMORY: what allocations alone return
  char lost_then[8]; // what processes find that start later: "same" to be lost again, "well", or "gone" for no such device
  int gone_device; // entry that this process doesn't find; -1 for none
  int alloc_error_after; // allocations of device memory that succeed; -1 for all
  bool zero_results; // copies down bring zeros once a kernel was launched
  char nccl_fault[32]; // see libraries/nccl.c; empty for none
  long nccl_after; // operations of a communicator before the fault
  bool nccl_once; // the first communicator alone has the fault
  char record[512]; // folder of the records; empty for none
} Machine;

// Returns the machine; reads its file at the first call.
const Machine *machine(void);

// Notes an event for all processes of the machine, the first time that it happens.
void machine_mark(const char *event);

// Fills `visible` with the entries that CUDA shows under CUDA_VISIBLE_DEVICES, in its order; returns their number.
int machine_visible(int visible[MAX_DEVICES]);
