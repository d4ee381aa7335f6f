// From the shim to the container's first process.
#include <errno.h>
#include <signal.h>
#include <sched.h>
#include <grp.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "kernel.h"
#include "shim.h"

// If the shim dies, the kernel kills the container: nobody would hold its output or its exit status. Set again whenever
// credentials change, which clears it (commit_creds).
static void die_with_parent(void) {
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0) fail("set parent death signal", "");
}

static noreturn void run_init(const struct prepared *prepared, int sync) {
  die_with_parent();
  setsid();
  struct process_stdio stdio;
  if (prepared->flags & FLAG_EXEC) {
    int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0) fail("open container root", "/");
    stdio = make_stdio(prepared, root, sync);
  } else {
    int root = build_root(prepared);
    run_steps(prepared, root);
    stdio = make_stdio(prepared, root, sync);
    enter_root(prepared, root);
  }
  become_process(prepared, &stdio, sync);
}

static void enter_given_namespaces(const struct prepared *prepared) {
  if (prepared->target_pidfd >= 0) {
    // All at once: the kernel takes the user namespace first and judges the others by it.
    if (prepared->target_namespaces != 0 && setns(prepared->target_pidfd, (int)prepared->target_namespaces) < 0)
      fail("join container namespaces", "");
  } else {
    // The user namespace first: it owns the network namespace, and every namespace made from here on.
    if (prepared->user_namespace >= 0 && setns(prepared->user_namespace, CLONE_NEWUSER) < 0)
      fail("join user namespace", "");
    if (prepared->network_namespace >= 0 && setns(prepared->network_namespace, CLONE_NEWNET) < 0)
      fail("join network namespace", "");
  }
  if (prepared->user_namespace < 0 && !(prepared->target_namespaces & CLONE_NEWUSER)) return;
  // Until now the ids are the host's root, which has no name in there.
  if (setgroups(0, NULL) < 0 || setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0) fail("become container root", "");
}

// The cgroup before the ids: a process that changed its ids is refused by cgroups its new ids do not own.
static noreturn void run_stage(const struct prepared *prepared, int sync) {
  die_with_parent();
  for (int index = 0; index < prepared->cgroup_tasks_count; index++)
    if (write(prepared->cgroup_tasks[index], "0", 1) != 1) fail("join cgroup", prepared->cgroup_paths[index]);
  apply_outer_limits(prepared->plan);
  apply_outer_scheduling(prepared->plan);
  struct namespace_work work = begin_namespace_work(prepared);
  enter_given_namespaces(prepared);
  uint64_t new_namespaces = finish_namespace_work(prepared, &work);
  // CLONE_PARENT: init becomes the shim's child. The pid and time namespaces take effect for children only, so a second
  // process is needed in any case.
  struct clone_arguments arguments = {.flags = new_namespaces | CLONE_PARENT};
  pid_t pid = sys_clone3(&arguments);
  if (pid < 0) fail("clone init", "");
  if (pid == 0) run_init(prepared, sync);
  sync_send(sync, &(struct sync_message){.kind = SYNC_PID, .pid = pid}, NULL, 0);
  _exit(0);
}

static void reap_everything(pid_t pid) {
  if (pid > 0) kill(pid, SIGKILL);
  int saved = errno;
  while (waitpid(-1, NULL, 0) > 0 || errno == EINTR) continue;
  errno = saved;
}

struct started launch(const struct prepared *prepared) {
  int sync[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sync) < 0) fail("make sync channel", "");
  // Not dumpable: nothing in the container can trace the stage or init or reach their descriptors through /proc.
  prctl(PR_SET_DUMPABLE, 0);
  struct clone_arguments arguments = {.exit_signal = SIGCHLD};
  if (prepared->cgroup_v2 >= 0) {
    arguments.flags = CLONE_INTO_CGROUP_FLAG;
    arguments.cgroup = (uint64_t)prepared->cgroup_v2;
  }
  enter_initial_cpus(prepared->plan);
  pid_t stage = sys_clone3(&arguments);
  if (stage != 0) leave_initial_cpus();
  if (stage < 0) fail("clone into cgroup", "");
  if (stage == 0) {
    close(sync[0]);
    failures_go_to_shim(sync[1]);
    run_stage(prepared, sync[1]);
  }
  close(sync[1]);

  struct started started = {.pid = 0, .pidfd = -1, .stdio = {-1, -1, -1}};
  struct sync_message message;
  int fds[3], fd_count;
  bool have_stdio = false;
  // Ends when init's end is closed by execve: that is when the container has started.
  while (sync_receive(sync[0], &message, fds, &fd_count) > 0) {
    if (message.kind == SYNC_FAILED) {
      reap_everything(started.pid);
      fail_with(message.failure.error, message.failure.stage, message.failure.path);
    }
    if (message.kind == SYNC_PID) started.pid = message.pid;
    if (message.kind == SYNC_STDIO) {
      have_stdio = true;
      if (prepared->flags & FLAG_TERMINAL) {
        started.stdio.output = fds[0];
      } else {
        started.stdio.output = fds[0];
        started.stdio.error = fds[1];
        if (fd_count == 3) started.stdio.input = fds[2];
      }
    }
  }
  started.started_unix_nanos = now_unix_nanos();
  close(sync[0]);
  while (waitpid(stage, NULL, 0) < 0 && errno == EINTR) continue;
  // Killed before it could say why: an out-of-memory kill inside a tiny limit, most likely.
  if (started.pid == 0 || !have_stdio) {
    reap_everything(started.pid);
    fail_with(ECHILD, "start init", "");
  }
  started.pidfd = sys_pidfd_open(started.pid);
  if (started.pidfd < 0) fail("open pidfd", "");
  return started;
}
