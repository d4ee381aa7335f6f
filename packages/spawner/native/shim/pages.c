// Memory that only the start needed, given back: a shim lives as long as its container, and there may be hundreds.
#include <stdint.h>
#include <sys/mman.h>

#include "shim.h"

enum { PAGE = 4096, STACK_BELOW = 64 * 1024 };

extern const char __executable_start[];

// The first function of what a running shim needs: build-shim.sh links those files behind all others.
void give_start_pages_back(void) {
  uintptr_t begin = (uintptr_t)__executable_start / PAGE * PAGE, end = (uintptr_t)give_start_pages_back / PAGE * PAGE;
  if (end <= begin) return;
  // A page that is needed all the same comes back from the file. The first advice makes a mapping of its own of them, or the kernel
  // would map them again along with their neighbours (fault-around).
  madvise((void *)begin, end - begin, MADV_RANDOM);
  madvise((void *)begin, end - begin, MADV_DONTNEED);
  // Of the stack, what deeper calls have touched.
  uintptr_t here = (uintptr_t)__builtin_frame_address(0) / PAGE * PAGE;
  madvise((void *)(here - STACK_BELOW), STACK_BELOW - PAGE, MADV_DONTNEED);
}
