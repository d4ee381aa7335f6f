// When each part of a start was reached, for whoever looks where its time goes. Only with FLAG_MOMENTS; without it there is no page
// to write to and a moment costs one comparison.
#include <stdio.h>
#include <sys/mman.h>
#include <time.h>

#include "kernel.h"
#include "shim.h"

// Shared with stage and init, which are forked; execve takes it off.
static int64_t *reached;

void moments_begin(uint32_t flags) {
  if (!(flags & FLAG_MOMENTS)) return;
  void *page = mmap(NULL, MOMENTS * sizeof *reached, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (page != MAP_FAILED) reached = page;
}

void moment(enum moment which) {
  if (reached == NULL) return;
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  reached[which] = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void moments_write(void) {
  if (reached == NULL) return;
  int fd = open("moments", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return;
  // A short file says that there is nothing to read.
  ssize_t wrote = write(fd, reached, MOMENTS * sizeof *reached);
  (void)wrote;
  close(fd);
  munmap(reached, MOMENTS * sizeof *reached);
  reached = NULL;
}
