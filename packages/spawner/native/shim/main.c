// gantry-shim: makes one container's (or one exec's) first process by a plan. Then it is the process's parent: holds its stdio,
// writes its log, reaps it and records how it ended; it outlives every other process of Gantry and depends on none. Or, when the
// plan says that the caller watches, it hands the process over. See ../README.md.
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdnoreturn.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "kernel.h"
#include "shim.h"

static void ignore_signals(void) {
  // Sent to a whole group or session by a terminal or a service manager: the container is stopped by other means.
  const int ignored[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGPIPE, SIGTTOU, SIGTTIN, SIGTSTP};
  for (size_t index = 0; index < sizeof ignored / sizeof *ignored; index++) signal(ignored[index], SIG_IGN);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
}

// stdio of its own: whatever the service had there is not for a shim to hold.
static void take_null_stdio(void) {
  // The spawner may leave 0 to 2 free: then this open takes one of them, and dup2(2) of it to itself does nothing.
  int null = open("/dev/null", O_RDWR);
  if (null < 0) fail("open device", "/dev/null");
  for (int fd = 0; fd < 3; fd++)
    if (dup2(null, fd) < 0) fail("open device", "/dev/null");
  if (null > 2) close(null);
}

// A caller may have closed them; the first file opened must not become the container's output.
static void fill_stdio(void) {
  for (int fd = 0; fd < 3; fd++)
    if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd) fail("open device", "/dev/null");
}

static void enter_directory(const struct plan *plan) {
  struct record record;
  if (!find_record(plan, TAG_DIRECTORY, &record)) fail_with(EBADMSG, "read plan", "no directory");
  const char *directory = read_string(&record.body);
  if (chdir(directory) < 0) fail("enter runtime directory", directory);
}

static noreturn void be_shim(struct plan *plan, struct prepared *prepared) {
  struct record record;
  setsid();
  int listener = listen_here("shim.sock", 16, SOCK_NONBLOCK);
  log_open(plan);
  prepare(prepared, plan);
  moment(MOMENT_PREPARED);
  struct serving serving = {
      .listener = listener,
      .terminal = (prepared->flags & FLAG_TERMINAL) != 0,
      .stdin_once = (prepared->flags & FLAG_STDIN_ONCE) != 0,
      .exec = (prepared->flags & FLAG_EXEC) != 0,
      .hold = (prepared->flags & FLAG_HOLD_OUTPUT) != 0,
      .attempt = find_record(plan, TAG_ATTEMPT, &record) ? read_u32(&record.body) : 0,
      .prepared = prepared,
  };
  serving.oom_kills_before = count_oom_kills(prepared, false);
  serving.started = launch(prepared);
  write_start_record(serving.attempt, &serving.started);
  moment(MOMENT_RECORDED);
  moments_write();
  release_prepared(prepared);
  plan_close(plan);
  serve(&serving);
}

static noreturn void be_launcher(struct plan *plan, struct prepared *prepared) {
  prepare(prepared, plan);
  struct started started = launch(prepared);
  watch_for_caller(prepared, &started);
}

int main(int argc, char **argv) {
  if (argc == 2 && strcmp(argv[1], "--version") == 0) {
    puts(GANTRY_SHIM_VERSION);
    return 0;
  }
  failures_go_to_service(CONTROL_FD);
  fill_stdio();
  // Started from a memfd, it would be called after that.
  prctl(PR_SET_NAME, "gantry-shim");
  ignore_signals();
  for (int fd = PLAN_FD; fd <= LOCK_FD; fd++)
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) return fputs("gantry-shim is started by the spawner only\n", stderr), 2;

  static struct plan plan;
  static struct prepared prepared;
  struct record record;
  bool opened = plan_open(&plan, PLAN_FD);
  int error = errno;
  uint32_t flags = opened && find_record(&plan, TAG_FLAGS, &record) ? read_u32(&record.body) : 0;
  if (!(flags & FLAG_CALLER)) take_null_stdio();
  if (!opened) fail_with(error, "read plan", "");
  close(PLAN_FD);
  enter_directory(&plan);
  moments_begin(flags);
  moment(MOMENT_MAIN);
  if (flags & FLAG_CALLER) be_launcher(&plan, &prepared);
  be_shim(&plan, &prepared);
}
