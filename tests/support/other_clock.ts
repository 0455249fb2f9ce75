/**
 * Wall clocks of processes that are not the machine's. Monotonic clocks are as they are. Go's programs, such as
 * nats-server, ask the kernel and see no difference.
 *
 * @module
 */
import { preloadedLibrary } from "./preloaded_library.ts";

const source = (offset: string) =>
  `#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/time.h>
#include <time.h>
static int machine(clockid_t id, struct timespec *at) {
  static int (*clock)(clockid_t, struct timespec *);
  if (!clock) clock = dlsym(RTLD_NEXT, "clock_gettime");
  return clock(id, at);
}
static long offset(void) {
  struct timespec now;
  machine(CLOCK_MONOTONIC, &now);
  return ${offset};
}
int clock_gettime(clockid_t id, struct timespec *at) {
  int result = machine(id, at);
  if (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE) at->tv_sec += offset();
  return result;
}
int gettimeofday(struct timeval *at, void *zone) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  at->tv_sec = now.tv_sec;
  at->tv_usec = now.tv_nsec / 1000;
  return 0;
}
time_t time(time_t *at) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (at) *at = now.tv_sec;
  return now.tv_sec;
}
`;

/** An offset that jumps by two days each second, forward and back. */
export const JUMPING = "now.tv_sec % 2 ? 86400 : -86400";

/**
 * Makes another clock.
 *
 * @param folder The folder of its library
 * @param offset Seconds that it is ahead: an expression in C of the monotonic time `now`
 * @returns Environment variables of a process with the clock; nothing, with a printed reason, without a compiler
 */
export async function otherClock(
  folder: string,
  offset: string,
): Promise<Record<string, string> | undefined> {
  return await preloadedLibrary(folder, "clock", source(offset));
}
