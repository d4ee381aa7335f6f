// From the launcher to the container's first process.
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "kernel.h"
#include "shim.h"

// If the shim dies, the kernel kills the container: nobody would hold its output or its exit status. Set again whenever
// credentials change, which clears it (commit_creds). A caller watches by itself, and the launcher goes before the container.
void die_with_parent(const struct prepared *prepared) {
  if (prepared->flags & FLAG_CALLER) return;
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0) fail("set parent death signal", "");
}

// What only the launcher can do once there are a process and its namespaces: hooks of the host.
static bool launcher_is_needed(const struct prepared *prepared) {
  // The agent is told our pid, which we do not know in a pid namespace of our own.
  return prepared->seccomp_agent >= 0 || has_hooks(prepared->plan, HOOK_PRESTART) ||
         has_hooks(prepared->plan, HOOK_CREATE_RUNTIME);
}

static noreturn void run_init(const struct prepared *prepared, int sync) {
  moment(MOMENT_INIT);
  die_with_parent(prepared);
  setsid();
  if (prepared->new_namespaces & CLONE_NEWNET) raise_loopback();
  struct process_stdio stdio;
  pid_t pid = launcher_is_needed(prepared) ? sync_ask(sync, SYNC_ASK_HOOKS) : 0;
  if (prepared->flags & FLAG_EXEC) {
    if (prepared->target_root >= 0 && (fchdir(prepared->target_root) < 0 || chroot(".") < 0))
      fail("enter container root", "/");
    int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0) fail("open container root", "/");
    stdio = make_stdio(prepared, root, sync);
    close(root);
  } else {
    int root = build_root(prepared);
    moment(MOMENT_ROOT);
    run_steps(prepared, root);
    moment(MOMENT_MOUNTS);
    stdio = make_stdio(prepared, root, sync);
    moment(MOMENT_STDIO);
    run_hooks(prepared->plan, HOOK_CREATE_CONTAINER, "created", getpid(), NULL);
    enter_root(prepared, root);
    moment(MOMENT_INSIDE);
  }
  become_process(prepared, &stdio, sync, pid);
}

// The cgroup before the ids: a process that changed its ids is refused by cgroups its new ids do not own.
static noreturn void run_stage(const struct prepared *prepared, int sync) {
  moment(MOMENT_STAGE);
  die_with_parent(prepared);
  // As the host's root, who alone may enter it; a descriptor would stay in the host's mount namespace, the working directory is
  // taken over into the new one.
  if (prepared->scratch >= 0 && fchdir(prepared->scratch) < 0) fail("enter scratch", "root");
  if (prepared->flags & FLAG_AWAIT_PLACEMENT) sync_ask(sync, SYNC_ASK_PLACEMENT);
  for (int index = 0; index < prepared->cgroup_tasks_count; index++)
    if (write(prepared->cgroup_tasks[index], "0", 1) != 1) fail("join cgroup", prepared->cgroup_paths[index]);
  moment(MOMENT_CGROUPS);
  apply_outer_limits(prepared->plan);
  apply_outer_scheduling(prepared->plan);
  struct namespace_work work = begin_namespace_work(prepared);
  enter_given_namespaces(prepared);
  uint64_t new_namespaces = finish_namespace_work(prepared, &work);
  moment(MOMENT_NAMESPACES);
  // CLONE_PARENT: init becomes the launcher's child. The pid and time namespaces take effect for children only, so a second
  // process is needed in any case.
  struct clone_arguments arguments = {.flags = new_namespaces | CLONE_PARENT};
  pid_t pid = sys_clone3(&arguments);
  if (pid < 0) fail("clone init", "");
  if (pid == 0) run_init(prepared, sync);
  sync_send(sync, &(struct sync_message){.kind = SYNC_PID, .pid = pid}, NULL, 0);
  _exit(0);
}

static void reap_everything(pid_t stage, pid_t pid) {
  int saved = errno;
  if (pid > 0) kill(pid, SIGKILL);
  if (stage > 0) kill(stage, SIGKILL);
  while (waitpid(-1, NULL, 0) > 0 || errno == EINTR) continue;
  errno = saved;
}

// The start while it is under way, seen from the launcher.
struct launching {
  const struct prepared *prepared;
  int sync;
  pid_t stage;
  struct started started;
  bool have_stdio, ready, hooks_asked;
};

static noreturn void give_up(struct launching *launching, const struct failure *failure) {
  reap_everything(launching->stage, launching->started.pid);
  fail_with(failure->error, failure->stage, failure->path);
}

// A failure in here ends stage and init, too.
static void run_outer_hooks(struct launching *launching) {
  const struct plan *plan = launching->prepared->plan;
  pid_t pid = launching->started.pid;
  failures_end(launching->stage, pid);
  run_hooks(plan, HOOK_PRESTART, "created", pid, NULL);
  run_hooks(plan, HOOK_CREATE_RUNTIME, "created", pid, NULL);
  failures_end(0, 0);
  sync_send(launching->sync, &(struct sync_message){.kind = SYNC_GO, .pid = pid}, NULL, 0);
}

static void keep_stdio(struct launching *launching, const int *fds, int fd_count) {
  struct stdio_ends *stdio = &launching->started.stdio;
  launching->have_stdio = true;
  stdio->output = fds[0];
  if (launching->prepared->flags & FLAG_TERMINAL) return;
  stdio->error = fds[1];
  if (fd_count == 3) stdio->input = fds[2];
}

static void take(struct launching *launching, const struct sync_message *message, const int *fds, int fd_count) {
  switch ((enum sync_kind)message->kind) {
    case SYNC_FAILED: give_up(launching, &message->failure);
    case SYNC_PID: launching->started.pid = message->pid; break;
    case SYNC_STDIO: keep_stdio(launching, fds, fd_count); break;
    case SYNC_READY: launching->ready = true; break;
    case SYNC_ASK_HOOKS: launching->hooks_asked = true; break;
    case SYNC_ASK_PLACEMENT:
      await_placement(launching->stage);
      sync_send(launching->sync, &(struct sync_message){.kind = SYNC_GO}, NULL, 0);
      break;
    case SYNC_GO: break;
  }
  // Init may ask before the stage has told its pid.
  if (launching->hooks_asked && launching->started.pid > 0) {
    launching->hooks_asked = false;
    run_outer_hooks(launching);
  }
}

// With a start socket the channel ends early only when init has died.
static bool is_gone_unready(const struct launching *launching) {
  return launching->prepared->start_socket >= 0 && !launching->ready;
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
    failures_go_to_launcher(sync[1]);
    run_stage(prepared, sync[1]);
  }
  close(sync[1]);

  struct launching launching = {.prepared = prepared, .sync = sync[0], .stage = stage,
                                .started = {.pid = 0, .pidfd = -1, .stdio = {-1, -1, -1}}};
  struct sync_message message;
  int fds[MOST_SENT_DESCRIPTORS], fd_count;
  // Ends when init's end is closed by execve, which is when the container has started, or when init waits for `start`; init may
  // be there before the stage has told its pid.
  while (!(launching.ready && launching.started.pid > 0) && sync_receive(sync[0], &message, fds, &fd_count) > 0)
    take(&launching, &message, fds, fd_count);
  moment(MOMENT_EXECUTED);
  struct started *started = &launching.started;
  started->started_unix_nanos = now_unix_nanos();
  close(sync[0]);
  while (waitpid(stage, NULL, 0) < 0 && errno == EINTR) continue;
  // Killed before it could say why: an out-of-memory kill inside a tiny limit, most likely.
  if (started->pid == 0 || (!launching.have_stdio && !(prepared->flags & FLAG_CALLER)) || is_gone_unready(&launching)) {
    reap_everything(0, started->pid);
    fail_with(ECHILD, "start init", "");
  }
  started->pidfd = sys_pidfd_open(started->pid);
  if (started->pidfd < 0) fail("open pidfd", "");
  return *started;
}
