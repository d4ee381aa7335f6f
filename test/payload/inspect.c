// What a process was given, as the kernel tells itself; and any system call, to see what a filter makes of it.
#define _GNU_SOURCE
#include "payload.h"
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

struct scheduling {
  uint32_t size, policy;
  uint64_t flags;
  int32_t nice;
  uint32_t priority;
  uint64_t runtime, deadline, period;
  uint32_t clamp_min, clamp_max;
};

static void print_status(void) {
  FILE *status = fopen("/proc/self/status", "re");
  char line[512];
  static const char *const wanted[] = {"Umask", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Uid", "Gid", "Cpus_allowed_list"};
  while (status && fgets(line, sizeof line, status)) {
    line[strcspn(line, "\n")] = 0;
    char *value = strchr(line, ':');
    if (!value) continue;
    *value++ = 0;
    value += strspn(value, " \t");
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
      if (!strcmp(line, wanted[i])) printf("%s=%s\n", line, value);
  }
  if (status) fclose(status);
}

static void print_limits(void) {
  static const struct {
    const char *name;
    int type;
  } limits[] = {{"CPU", RLIMIT_CPU}, {"FSIZE", RLIMIT_FSIZE}, {"DATA", RLIMIT_DATA}, {"STACK", RLIMIT_STACK}, {"CORE", RLIMIT_CORE}, {"RSS", RLIMIT_RSS}, {"NPROC", RLIMIT_NPROC}, {"NOFILE", RLIMIT_NOFILE}, {"MEMLOCK", RLIMIT_MEMLOCK}, {"AS", RLIMIT_AS}, {"LOCKS", RLIMIT_LOCKS}, {"SIGPENDING", RLIMIT_SIGPENDING}, {"MSGQUEUE", RLIMIT_MSGQUEUE}, {"NICE", RLIMIT_NICE}, {"RTPRIO", RLIMIT_RTPRIO}, {"RTTIME", RLIMIT_RTTIME}};
  for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
    struct rlimit limit;
    getrlimit(limits[i].type, &limit);
    printf("RLIMIT_%s=%lld:%lld\n", limits[i].name, (long long)limit.rlim_cur, (long long)limit.rlim_max);
  }
}

int inspect_process(void) {
  print_status();
  print_limits();
  struct scheduling scheduling = {.size = sizeof scheduling};
  if (syscall(SYS_sched_getattr, 0, &scheduling, sizeof scheduling, 0) == 0)
    printf("policy=%u\nsched_flags=%llu\nnice=%d\npriority=%u\nruntime=%llu\ndeadline=%llu\nperiod=%llu\n", scheduling.policy, (unsigned long long)scheduling.flags, scheduling.nice, scheduling.priority, (unsigned long long)scheduling.runtime, (unsigned long long)scheduling.deadline, (unsigned long long)scheduling.period);
  long io = syscall(SYS_ioprio_get, 1, 0);
  printf("ioprio=%ld:%ld\n", io >> 13, io & 0xff);
  int mode = -1;
  unsigned long nodes[16] = {0};
  if (syscall(SYS_get_mempolicy, &mode, nodes, sizeof nodes * 8, 0, 0) < 0) mode = -errno;
  printf("mempolicy=%d\nmempolicy_nodes=%lx\n", mode, nodes[0]);
  printf("personality=%x\n", personality(0xffffffff));
  struct utsname names;
  uname(&names);
  printf("hostname=%s\ndomainname=%s\nmachine=%s\n", names.nodename, names.domainname, names.machine);
  struct timespec boot, steady;
  clock_gettime(CLOCK_BOOTTIME, &boot);
  clock_gettime(CLOCK_MONOTONIC, &steady);
  printf("boottime=%lld.%09ld\nmonotonic=%lld.%09ld\n", (long long)boot.tv_sec, boot.tv_nsec, (long long)steady.tv_sec, steady.tv_nsec);
  char text[64] = "";
  int file = open("/proc/self/oom_score_adj", O_RDONLY | O_CLOEXEC);
  if (file >= 0 && read(file, text, sizeof text - 1) > 0) printf("oom_score_adj=%d\n", atoi(text));
  if (file >= 0) close(file);
  printf("pid=%d\nsession=%d\n", getpid(), getsid(0));
  printf("open_files=");
  for (int number = 0; number < 256; number++)
    if (fcntl(number, F_GETFD) >= 0) printf("%d,", number);
  printf("\n");
  return 0;
}

/** call NAME [ARGUMENT...]: what begins with a slash is text, all else a number. */
int call_by_name(char **arguments) {
  static const struct {
    const char *name;
    long number;
  } calls[] = {{"getppid", SYS_getppid}, {"mkdirat", SYS_mkdirat}, {"fchmodat", SYS_fchmodat}, {"socket", SYS_socket}, {"personality", SYS_personality}, {"umask", SYS_umask}, {"sethostname", SYS_sethostname}, {"getpgid", SYS_getpgid}, {"getpriority", SYS_getpriority}, {"dup", SYS_dup}, {"unshare", SYS_unshare}};
  long values[6] = {0};
  for (int i = 0; i < 6 && arguments[0] && arguments[i + 1]; i++)
    values[i] = arguments[i + 1][0] == '/' ? (long)arguments[i + 1] : (long)strtoll(arguments[i + 1], 0, 0);
  for (size_t i = 0; arguments[0] && i < sizeof calls / sizeof *calls; i++) {
    if (strcmp(calls[i].name, arguments[0])) continue;
    errno = 0;
    long result = syscall(calls[i].number, values[0], values[1], values[2], values[3], values[4], values[5]);
    printf("result=%ld\nerrno=%d\n", result, errno);
    return 0;
  }
  return 64;
}
