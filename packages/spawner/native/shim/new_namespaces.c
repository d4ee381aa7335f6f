// Namespaces that the stage makes itself because something has to be done to them before init is in them.
#include <errno.h>
#include <sched.h>
#include <string.h>

#include "kernel.h"
#include "shim.h"

struct namespace_work begin_namespace_work(const struct prepared *prepared) {
  struct namespace_work work = {.offsets_file = -1};
  struct record record;
  // Opened as the host's root and through the host's /proc: the kernel judges a write by who opened (file_ns_capable).
  if (find_record(prepared->plan, TAG_TIME_OFFSETS, &record)) {
    work.offsets_file = open("/proc/self/timens_offsets", O_WRONLY | O_CLOEXEC);
    if (work.offsets_file < 0) fail("set clock offsets", "/proc/self/timens_offsets");
  }
  work.mover = start_device_mover(prepared->plan);
  return work;
}

uint64_t finish_namespace_work(const struct prepared *prepared, const struct namespace_work *work) {
  uint64_t left = prepared->new_namespaces;
  struct record record;
  if (work->offsets_file >= 0 && find_record(prepared->plan, TAG_TIME_OFFSETS, &record)) {
    const char *offsets = read_string(&record.body);
    // Offsets can be set only as long as no process is in the namespace: this one stays out, its children are in.
    if (unshare(CLONE_NEWTIME) < 0) fail("make time namespace", "");
    if (write(work->offsets_file, offsets, strlen(offsets)) < 0) fail("set clock offsets", offsets);
    close(work->offsets_file);
    left &= ~(uint64_t)CLONE_NEWTIME;
  }
  if (work->mover.pid >= 0) {
    if ((left & CLONE_NEWNET) && unshare(CLONE_NEWNET) < 0) fail("make network namespace", "");
    left &= ~(uint64_t)CLONE_NEWNET;
    finish_device_mover(&work->mover);
  }
  return left;
}
