// Handles of cuBLAS and cuDNN: each has a stream, on which the library's kernels run.
#pragma once

typedef struct {
  void *stream;
} Handle;

Handle *handle_create(void);
void handle_destroy(Handle *handle);

// A function of the library without code here. With a handle as its first argument, and unless it only sets or gets
// something, it launches a kernel on the handle's stream. Returns 0, or the library's code for a failed execution.
long library_call(const char *name, void *first, long execution_failed);
