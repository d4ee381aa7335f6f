// The seccomp filter, and whoever is asked by its SCMP_ACT_NOTIFY.
//
//   launcher: connects to the agent's socket, in the host's namespaces
//   init ──clone(FILES)──> courier        filter loaded, the courier's number for the listener is init's:
//    │ seccomp(NEW_LISTENER)   │            both have one table of descriptors
//    │ number ── shared page ─>│
//    │ wait                    │ state and listener to the agent
//    │ <────────────────────── exit
//
// From the moment the filter is loaded any system call of init may stand still until the agent answers, sendmsg(2) as well. So the
// courier was there before, without the filter; and what init itself still calls waits for an agent that has the listener already.
#include <errno.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>

#include "kernel.h"
#include "shim.h"

#ifndef SECCOMP_FILTER_FLAG_NEW_LISTENER
#define SECCOMP_FILTER_FLAG_NEW_LISTENER (1UL << 3)
#endif

enum { MOST_INSTRUCTIONS = 4096 /* BPF_MAXINSNS */, INSTRUCTION_BYTES = 8, MOST_PARTS = 4, NO_LISTENER_YET = -1, NO_LISTENER = -2 };

struct filter_program {
  unsigned short length;
  const void *instructions;
};

int connect_seccomp_agent(struct cursor *body) {
  const char *path = read_string(body);
  bool is_asked = read_u32(body) != 0;
  if (body->bad) fail_with(EBADMSG, "read plan", "seccomp listener");
  int fd = connect_to(path);
  // Whom no rule asks is told of the container for courtesy.
  if (fd < 0 && is_asked) fail("connect to seccomp agent", path);
  return fd;
}

// The state as the plan has it, in parts with the pid between them.
static bool send_state(int agent, int listener, const struct plan *plan, pid_t pid) {
  struct record record;
  if (!find_record(plan, TAG_SECCOMP_LISTENER, &record)) return errno = EBADMSG, false;
  read_string(&record.body);
  read_u32(&record.body);
  uint32_t count = read_u32(&record.body);
  if (count == 0 || count > MOST_PARTS) return errno = EBADMSG, false;
  char number[16];
  size_t digits = (size_t)snprintf(number, sizeof number, "%d", pid);
  struct iovec pieces[2 * MOST_PARTS];
  int used = 0;
  for (uint32_t index = 0; index < count; index++) {
    if (index > 0) pieces[used++] = (struct iovec){number, digits};
    const char *part = read_string(&record.body);
    pieces[used++] = (struct iovec){(void *)(uintptr_t)part, strlen(part)};
  }
  if (record.body.bad) return errno = EBADMSG, false;

  // A long state may go in several messages; descriptors are sent with the first.
  int fd_count = 1;
  for (struct iovec *piece = pieces; used > 0; fd_count = 0) {
    ssize_t sent = send_with_descriptors(agent, piece, used, &listener, fd_count);
    if (sent < 0) return false;
    for (; used > 0 && (size_t)sent >= piece->iov_len; piece++, used--) sent -= (ssize_t)piece->iov_len;
    if (used > 0) *piece = (struct iovec){(char *)piece->iov_base + sent, piece->iov_len - (size_t)sent};
  }
  return true;
}

// Exit status: 0, or the errno that kept the state from the agent.
static noreturn void be_courier(atomic_int *number, int agent, const struct plan *plan, pid_t pid, pid_t init) {
  // Its parent's end must not leave it waiting; that may have come before this line.
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != init) _exit(ECHILD);
  int listener;
  // Init wakes us unless its filter has that wait for the agent, too: then we look for ourselves.
  while ((listener = atomic_load(number)) == NO_LISTENER_YET)
    syscall(SYS_futex, number, FUTEX_WAIT, NO_LISTENER_YET, &(struct timespec){.tv_nsec = 1000000}, NULL, 0);
  if (listener == NO_LISTENER) _exit(0);
  int answer = send_state(agent, listener, plan, pid) ? 0 : errno;
  // In init's table, too: an agent that goes away must end the questions (ENOSYS), which an open listener would leave unanswered.
  close(listener);
  // One state for each connection, and then its end, whoever else has inherited the descriptor.
  shutdown(agent, SHUT_RDWR);
  close(agent);
  _exit(answer);
}

static void load_with_listener(const struct plan *plan, unsigned flags, const struct filter_program *program, int agent,
                               pid_t pid) {
  atomic_int *number = mmap(NULL, sizeof *number, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (number == MAP_FAILED) fail("load seccomp", "");
  atomic_store(number, NO_LISTENER_YET);
  pid_t init = getpid();
  pid_t courier = sys_clone3(&(struct clone_arguments){.flags = CLONE_FILES_FLAG, .exit_signal = SIGCHLD});
  if (courier < 0) fail("start courier for seccomp agent", "");
  if (courier == 0) be_courier(number, agent, plan, pid, init);
  int listener = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags | SECCOMP_FILTER_FLAG_NEW_LISTENER, program);
  int error = errno;
  atomic_store(number, listener < 0 ? NO_LISTENER : listener);
  syscall(SYS_futex, number, FUTEX_WAKE, 1, NULL, NULL, 0);
  int status;
  while (waitpid(courier, &status, 0) < 0)
    if (errno != EINTR) fail("wait for courier", "");
  if (listener < 0) fail_with(error, "load seccomp", "");
  if (!WIFEXITED(status)) fail_with(ECHILD, "send state to seccomp agent", "");
  if (WEXITSTATUS(status) != 0) fail_with(WEXITSTATUS(status), "send state to seccomp agent", "");
}

void load_seccomp(const struct plan *plan, int agent, pid_t pid) {
  struct record record;
  if (!find_record(plan, TAG_SECCOMP, &record)) return;
  uint32_t flags = read_u32(&record.body), length;
  const uint8_t *bytes = read_bytes(&record.body, &length);
  if (record.body.bad || length % INSTRUCTION_BYTES != 0 || length / INSTRUCTION_BYTES > MOST_INSTRUCTIONS)
    fail_with(EBADMSG, "read plan", "seccomp");
  struct filter_program program = {(unsigned short)(length / INSTRUCTION_BYTES), bytes};
  if (agent >= 0) return load_with_listener(plan, flags, &program, agent, pid);
  if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program) < 0) fail("load seccomp", "");
}
