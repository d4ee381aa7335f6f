// A tiny static program for looking at a container from inside, and for behaving in ways a test asks for.
// It reports facts and errno names; what they should be, the tests know.
#define _GNU_SOURCE
#include "payload.h"
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char *errno_name(int error) {
  switch (error) {
  case 0: return "ok";
  case EPERM: return "EPERM";
  case EACCES: return "EACCES";
  case ENOENT: return "ENOENT";
  case EROFS: return "EROFS";
  case ENOSYS: return "ENOSYS";
  case EINVAL: return "EINVAL";
  case EAGAIN: return "EAGAIN";
  case ENOSPC: return "ENOSPC";
  case ECONNREFUSED: return "ECONNREFUSED";
  case ETIMEDOUT: return "ETIMEDOUT";
  case EHOSTUNREACH: return "EHOSTUNREACH";
  case ENETUNREACH: return "ENETUNREACH";
  case EAFNOSUPPORT: return "EAFNOSUPPORT";
  case EBUSY: return "EBUSY";
  case EIO: return "EIO";
  case EXDEV: return "EXDEV";
  case ENODEV: return "ENODEV";
  default: return strerror(error);
  }
}

static void fact(const char *name, const char *value) { printf("%s=%s\n", name, value); }
static void attempt(const char *name, long result) { fact(name, errno_name(result < 0 ? errno : 0)); }

static void print_file(const char *name, const char *path) {
  char buffer[4096];
  int file = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t length = file < 0 ? -1 : read(file, buffer, sizeof buffer - 1);
  if (file >= 0) close(file);
  if (length < 0) {
    attempt(name, -1);
    return;
  }
  buffer[length] = 0;
  // One line a fact: line feeds become bars, runs of blanks one blank.
  char line[4096];
  size_t used = 0;
  for (ssize_t i = 0; i < length; i++) {
    char c = buffer[i] == '\n' ? '|' : buffer[i] == '\t' ? ' ' : buffer[i];
    if (c == ' ' && (used == 0 || line[used - 1] == ' ' || line[used - 1] == '|')) continue;
    line[used++] = c;
  }
  while (used > 0 && line[used - 1] == '|') used--;
  line[used] = 0;
  fact(name, line);
}

static long try_write(const char *path, const char *text) {
  int file = open(path, O_WRONLY | O_CLOEXEC);
  if (file < 0) return -1;
  long result = write(file, text, strlen(text));
  int kept = errno;
  close(file);
  errno = kept;
  return result;
}

// Whether it could be written is known from opening it; nothing is changed.
static long try_open(const char *path) {
  int file = open(path, O_WRONLY | O_CLOEXEC);
  if (file >= 0) close(file);
  return file;
}

static long try_read(const char *path) {
  char byte;
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return -1;
  long result = read(file, &byte, 1);
  int kept = errno;
  close(file);
  errno = kept;
  return result;
}

static int print_facts(void) {
  static const char *const kinds[] = {"user", "mnt", "net", "pid", "ipc", "uts", "cgroup", "time"};
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    char path[64], target[64] = "", name[16];
    snprintf(path, sizeof path, "/proc/self/ns/%s", kinds[i]);
    snprintf(name, sizeof name, "ns_%s", kinds[i]);
    ssize_t length = readlink(path, target, sizeof target - 1);
    fact(name, length < 0 ? errno_name(errno) : target);
  }
  print_file("uid_map", "/proc/self/uid_map");
  print_file("gid_map", "/proc/self/gid_map");
  print_file("status", "/proc/self/status");
  print_file("cgroup", "/proc/self/cgroup");
  printf("pid=%d\nuid=%d\ngid=%d\n", getpid(), getuid(), getgid());
  gid_t groups[64];
  int count = getgroups(64, groups);
  printf("groups=");
  for (int i = 0; i < count; i++) printf("%s%d", i ? "," : "", groups[i]);
  printf("\n");
  char text[256] = "";
  gethostname(text, sizeof text - 1);
  fact("hostname", text);
  fact("cwd", getcwd(text, sizeof text) ? text : errno_name(errno));
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  printf("nofile=%llu:%llu\n", (unsigned long long)limit.rlim_cur, (unsigned long long)limit.rlim_max);
  struct statfs shm;
  if (statfs("/dev/shm", &shm) == 0) printf("shm_bytes=%llu\n", (unsigned long long)shm.f_blocks * shm.f_bsize);
  printf("open_files=");
  DIR *open_files = opendir("/proc/self/fd");
  for (struct dirent *entry; open_files && (entry = readdir(open_files));)
    if (entry->d_name[0] != '.' && atoi(entry->d_name) != dirfd(open_files)) printf("%s,", entry->d_name);
  printf("\n");
  printf("terminal=%d\n", isatty(1));
  struct winsize size = {0};
  if (ioctl(1, TIOCGWINSZ, &size) == 0) printf("size=%dx%d\n", size.ws_row, size.ws_col);
  return 0;
}

// What a container must not get away with.
static int print_attempts(void) {
  // On the bare machine some of this would be allowed: that is not what it is for.
  char pid_namespace[64] = "";
  if (readlink("/proc/self/ns/pid", pid_namespace, sizeof pid_namespace - 1) < 0 || strstr(pid_namespace, "4026531836")) {
    fprintf(stderr, "payload: not in a container\n");
    return 65;
  }
  attempt("mount_tmpfs", mount("none", "/tmp", "tmpfs", 0, ""));
  attempt("remount_root", mount("none", "/", 0, MS_REMOUNT | MS_BIND, ""));
  attempt("unshare_user", unshare(CLONE_NEWUSER));
  attempt("setns_init_net", ({ int f = open("/proc/1/ns/net", O_RDONLY); long r = f < 0 ? -1 : setns(f, CLONE_NEWNET); r; }));
  attempt("reboot", syscall(SYS_reboot, 0xfee1dead, 672274793, 0 /* only switches Ctrl-Alt-Del off */, 0));
  attempt("keyctl", syscall(SYS_keyctl, 0, -3, 0, 0, 0));
  attempt("bpf", syscall(SYS_bpf, 0, 0, 0));
  attempt("perf_event_open", syscall(SYS_perf_event_open, 0, 0, -1, -1, 0));
  attempt("init_module", syscall(SYS_init_module, 0, 0, ""));
  attempt("settimeofday", ({ struct timespec t; clock_gettime(CLOCK_REALTIME, &t); clock_settime(CLOCK_REALTIME, &t); }));
  attempt("mknod_disk", mknod("/tmp/disk", S_IFBLK | 0600, (8 << 8)));
  attempt("read_kcore", try_read("/proc/kcore"));
  attempt("read_timer_list", try_read("/proc/timer_list"));
  attempt("read_firmware", ({ DIR *d = opendir("/sys/firmware"); struct dirent *e = 0; int n = 0; while (d && (e = readdir(d))) n += e->d_name[0] != '.'; errno = ENOENT; n > 0 ? 0 : -1; }));
  attempt("write_sysrq", try_open("/proc/sysrq-trigger"));
  attempt("write_core_pattern", try_open("/proc/sys/kernel/core_pattern"));
  attempt("write_drop_caches", try_open("/proc/sys/vm/drop_caches"));
  attempt("write_sys", try_open("/sys/kernel/mm/transparent_hugepage/enabled"));
  attempt("write_cgroup_v2", try_open("/sys/fs/cgroup/cgroup.procs"));
  attempt("write_cgroup_memory", try_open("/sys/fs/cgroup/memory/memory.limit_in_bytes"));
  attempt("socket_vsock", socket(40, SOCK_STREAM, 0));
  attempt("raise_nofile", ({ struct rlimit l = {1 << 22, 1 << 22}; setrlimit(RLIMIT_NOFILE, &l); }));
  attempt("kill_everything_outside", kill(-1, 0));
  return 0;
}

static int try_connect(const char *address, int port) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
  if (inet_pton(AF_INET, address, &to.sin_addr) != 1) return 2;
  int file = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  long result = connect(file, (struct sockaddr *)&to, sizeof to);
  if (result < 0 && errno == EINPROGRESS) {
    struct pollfd wait = {.fd = file, .events = POLLOUT};
    if (poll(&wait, 1, 1500) == 0) {
      errno = ETIMEDOUT;
    } else {
      int error = 0;
      socklen_t length = sizeof error;
      getsockopt(file, SOL_SOCKET, SO_ERROR, &error, &length);
      errno = error;
      result = error ? -1 : 0;
    }
  }
  attempt("connect", result);
  return 0;
}

// Counts on standard output, one whole line a write(2), until told to stop; "count INTERVAL_US [LAST]".
static int count_lines(long interval_us, long last) {
  struct timespec pause = {interval_us / 1000000, interval_us % 1000000 * 1000};
  for (long i = 1; last == 0 || i <= last; i++) {
    char line[32];
    int length = snprintf(line, sizeof line, "%ld\n", i);
    if (write(1, line, length) != length) return 1;
    nanosleep(&pause, 0);
  }
  return 0;
}

static void on_term(int signal) {
  (void)signal;
  (void)!write(1, "terminated\n", 11);
  _exit(7);
}

static int eat_memory(long megabytes) {
  for (long i = 0; i < megabytes; i++) {
    char *block = malloc(1 << 20);
    if (!block) return 1;
    memset(block, i & 0xff, 1 << 20);
  }
  printf("ate %ld\n", megabytes);
  return 0;
}

static int fork_until_refused(long most) {
  long made = 0;
  for (; made < most; made++) {
    pid_t child = fork();
    if (child < 0) break;
    if (child == 0) {
      pause();
      _exit(0);
    }
  }
  printf("forked=%ld\n", made);
  fflush(stdout);
  signal(SIGTERM, SIG_IGN);
  kill(0, SIGTERM);
  return 0;
}

static int echo_datagrams(int port) {
  struct sockaddr_in peer = {.sin_family = AF_INET, .sin_port = htons(port)};
  int file = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (file < 0 || bind(file, (struct sockaddr *)&peer, sizeof peer) < 0) return 1;
  for (;;) {
    char data[1500];
    socklen_t length = sizeof peer;
    ssize_t count = recvfrom(file, data, sizeof data, 0, (struct sockaddr *)&peer, &length);
    if (count < 0 || sendto(file, data, count, 0, (struct sockaddr *)&peer, length) != count) return 1;
  }
}

static long number(char **arguments, int index, long standard) {
  return arguments[index] ? strtol(arguments[index], 0, 10) : standard;
}

int main(int count, char **arguments) {
  setvbuf(stdout, 0, _IOLBF, 0);
  const char *verb = count > 1 ? arguments[1] : "";
  if (!strcmp(verb, "facts")) return print_facts();
  if (!strcmp(verb, "attempts")) return print_attempts();
  if (!strcmp(verb, "inspect")) return inspect_process();
  if (!strcmp(verb, "call")) return call_by_name(arguments + 2);
  if (!strcmp(verb, "seccomp-agent") && count == 4) return answer_for_filter(arguments[2], atol(arguments[3]));
  if (!strcmp(verb, "console-agent") && count == 3) return take_terminal(arguments[2]);
  if (!strcmp(verb, "pidfd-agent") && count == 3) return kill_by_pidfd(arguments[2]);
  if (!strcmp(verb, "connect") && count == 4) return try_connect(arguments[2], atoi(arguments[3]));
  if (!strcmp(verb, "udp-echo") && count == 3) return echo_datagrams(atoi(arguments[2]));
  if (!strcmp(verb, "count")) return count_lines(number(arguments, 2, 10000), count > 3 ? number(arguments, 3, 0) : 0);
  if (!strcmp(verb, "eat")) return eat_memory(number(arguments, 2, 64));
  if (!strcmp(verb, "fork")) return fork_until_refused(number(arguments, 2, 1000));
  if (!strcmp(verb, "exit")) return number(arguments, 2, 0);
  if (!strcmp(verb, "read") && count == 3) return attempt("read", try_read(arguments[2])), 0;
  if (!strcmp(verb, "write") && count == 4) return attempt("write", try_write(arguments[2], arguments[3])), 0;
  if (!strcmp(verb, "polite")) {
    signal(SIGTERM, on_term);
    puts("ready");
    for (;;) pause();
  }
  if (!strcmp(verb, "stubborn")) {
    signal(SIGTERM, SIG_IGN);
    puts("ready");
    for (;;) pause();
  }
  if (!strcmp(verb, "die") && count == 3) return kill(getpid(), atoi(arguments[2])), pause();
  fprintf(stderr, "payload: unknown verb %s\n", verb);
  return 64;
}
