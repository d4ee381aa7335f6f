// The seccomp filter.
#include <errno.h>
#include <linux/seccomp.h>

#include "kernel.h"
#include "shim.h"

enum { MOST_INSTRUCTIONS = 4096 /* BPF_MAXINSNS */, INSTRUCTION_BYTES = 8 };

struct filter_program {
  unsigned short length;
  const void *instructions;
};

void load_seccomp(const struct plan *plan) {
  struct record record;
  if (!find_record(plan, TAG_SECCOMP, &record)) return;
  uint32_t flags = read_u32(&record.body), length;
  const uint8_t *bytes = read_bytes(&record.body, &length);
  if (record.body.bad || length % INSTRUCTION_BYTES != 0 || length / INSTRUCTION_BYTES > MOST_INSTRUCTIONS)
    fail_with(EBADMSG, "read plan", "seccomp");
  struct filter_program program = {(unsigned short)(length / INSTRUCTION_BYTES), bytes};
  if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program) < 0) fail("load seccomp", "");
}
