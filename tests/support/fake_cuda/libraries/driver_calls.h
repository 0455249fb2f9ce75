// The driver's functions, for the libraries that stand on it. As NVIDIA's do, they load the driver at run time.
#pragma once
#include <stddef.h>

#define API __attribute__((visibility("default")))

// Returns a function of libcuda.so.1, or NULL where there is no driver.
void *driver_function(const char *name);

// Calls a function of the driver that returns an error code; without a driver, returns the runtime's
// cudaErrorInsufficientDriver.
#define DRIVER(name, types, ...)                                        \
  ({                                                                    \
    static int(*driver_call) types;                                        \
    if (!driver_call) driver_call = (int(*) types)driver_function(#name);     \
    driver_call ? driver_call(__VA_ARGS__) : 35;                              \
  })

// Counts a call of a function that the fake has no code for.
void count_stub(const char *name);
