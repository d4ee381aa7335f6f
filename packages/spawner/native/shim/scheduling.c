// How the process is scheduled: CPU policy, I/O priority, CPU affinity, memory policy; and which kernel it believes to run on.
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/personality.h>

#include "kernel.h"
#include "shim.h"

enum { WHO_PROCESS = 1, POLICY_DEADLINE = 6, RESET_ON_FORK = 0x01, UTIL_CLAMPS = 0x60 };
// The sizes that the kernel has had this structure in (linux/sched/types.h).
enum { SIZE_WITHOUT_CLAMPS = 48, SIZE_WITH_CLAMPS = 56, LARGEST_CPU_MASK = 1024 };

struct scheduling_attributes {
  uint32_t size, policy;
  uint64_t flags;
  int32_t nice;
  uint32_t priority;
  uint64_t runtime, deadline, period;
  uint32_t util_min, util_max;
};

// What a child does not inherit must be set by init itself; everything else by the stage, which is still the host's root: in a
// user namespace nobody may ask for a realtime policy.
static bool is_inherited(const struct scheduling_attributes *attributes) {
  return attributes->policy != POLICY_DEADLINE && !(attributes->flags & RESET_ON_FORK);
}

static void set_scheduler(const struct plan *plan, bool by_stage) {
  struct record record;
  if (!find_record(plan, TAG_SCHEDULER, &record)) return;
  struct cursor *body = &record.body;
  const char *name = read_string(body);
  struct scheduling_attributes attributes = {.size = SIZE_WITHOUT_CLAMPS, .policy = read_u32(body)};
  attributes.nice = (int32_t)read_u32(body);
  attributes.priority = read_u32(body);
  attributes.flags = read_u64(body);
  attributes.runtime = read_u64(body);
  attributes.deadline = read_u64(body);
  attributes.period = read_u64(body);
  if (body->bad) fail_with(EBADMSG, "read plan", "scheduler");
  if (attributes.flags & UTIL_CLAMPS) attributes.size = SIZE_WITH_CLAMPS;
  if (is_inherited(&attributes) != by_stage) return;
  if (syscall(SYS_sched_setattr, 0, &attributes, 0) < 0) fail("set scheduler", name);
}

static void set_io_priority(const struct plan *plan) {
  struct record record;
  if (!find_record(plan, TAG_IO_PRIORITY, &record)) return;
  const char *name = read_string(&record.body);
  uint32_t priority = read_u32(&record.body);
  if (record.body.bad) fail_with(EBADMSG, "read plan", "I/O priority");
  if (syscall(SYS_ioprio_set, WHO_PROCESS, 0, priority) < 0) fail("set I/O priority", name);
}

static uint8_t launcher_cpus[LARGEST_CPU_MASK];
static long launcher_cpus_length;

static void set_cpus(const uint8_t *mask, uint32_t length, const char *which) {
  if (syscall(SYS_sched_setaffinity, 0, length, mask) < 0) fail("set CPU affinity", which);
}

void enter_initial_cpus(const struct plan *plan) {
  struct record record;
  if (!find_record(plan, TAG_CPU_AFFINITY, &record)) return;
  struct record flags;
  if (!find_record(plan, TAG_FLAGS, &flags) || !(read_u32(&flags.body) & FLAG_EXEC)) return;
  uint32_t length;
  const uint8_t *mask = read_bytes(&record.body, &length);
  if (length == 0) return;
  launcher_cpus_length = syscall(SYS_sched_getaffinity, 0, sizeof launcher_cpus, launcher_cpus);
  set_cpus(mask, length, "initial");
}

void leave_initial_cpus(void) {
  if (launcher_cpus_length > 0) syscall(SYS_sched_setaffinity, 0, launcher_cpus_length, launcher_cpus);
}

// After the cgroups are joined. Without a wish all that the cpuset allows: Gantry's own affinity is not the container's.
static void set_final_cpus(const struct plan *plan) {
  struct record record, flags;
  bool is_exec = find_record(plan, TAG_FLAGS, &flags) && (read_u32(&flags.body) & FLAG_EXEC);
  if (is_exec && find_record(plan, TAG_CPU_AFFINITY, &record)) {
    uint32_t initial, final;
    read_bytes(&record.body, &initial);
    const uint8_t *mask = read_bytes(&record.body, &final);
    if (record.body.bad) fail_with(EBADMSG, "read plan", "CPU affinity");
    if (final > 0) set_cpus(mask, final, "final");
    if (initial > 0 || final > 0) return;
  }
  uint8_t all[LARGEST_CPU_MASK];
  memset(all, 0xff, sizeof all);
  syscall(SYS_sched_setaffinity, 0, sizeof all, all);
}

void apply_outer_scheduling(const struct plan *plan) {
  set_final_cpus(plan);
  set_scheduler(plan, true);
  set_io_priority(plan);
}

static void set_memory_policy(const struct plan *plan) {
  struct record record;
  if (!find_record(plan, TAG_MEMORY_POLICY, &record)) return;
  const char *name = read_string(&record.body);
  uint32_t mode = read_u32(&record.body), length;
  const uint8_t *nodes = read_bytes(&record.body, &length);
  if (record.body.bad) fail_with(EBADMSG, "read plan", "memory policy");
  // The kernel takes one bit less than it is told.
  unsigned long bits = length == 0 ? 0 : length * 8ul + 1;
  if (syscall(SYS_set_mempolicy, mode, length == 0 ? NULL : nodes, bits) < 0) fail("set memory policy", name);
}

void apply_inner_scheduling(const struct plan *plan) {
  set_scheduler(plan, false);
  set_memory_policy(plan);
  struct record record;
  if (!find_record(plan, TAG_PERSONALITY, &record)) return;
  const char *name = read_string(&record.body);
  uint32_t persona = read_u32(&record.body);
  if (record.body.bad) fail_with(EBADMSG, "read plan", "personality");
  if (personality(persona) < 0) fail("set personality", name);
}
