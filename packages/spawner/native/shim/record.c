// What outlives the shim: two small JSON files in the container's runtime directory, written aside and renamed.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kernel.h"
#include "shim.h"

enum { RECORD_VERSION = 1 };

int64_t now_unix_nanos(void) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void write_record(const char *name, const char *text, int length) {
  char aside[32];
  snprintf(aside, sizeof aside, "%s.new", name);
  int fd = open(aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return;
  bool whole = write(fd, text, (size_t)length) == length;
  close(fd);
  if (whole) rename(aside, name);
}

void write_start_record(uint32_t attempt, const struct started *started) {
  char text[320];
  int length = snprintf(text, sizeof text,
                        "{\"version\":%d,\"attempt\":%u,\"pid\":%d,\"shim_pid\":%d,\"started_unix_nanos\":\"%lld\",\"pid_start_ticks\":\"%llu\"}\n",
                        RECORD_VERSION, attempt, started->pid, getpid(), (long long)started->started_unix_nanos,
                        (unsigned long long)process_start_ticks(started->pid));
  write_record("start.json", text, length);
}

void write_exit_record(uint32_t attempt, const struct exit_facts *facts) {
  char text[256];
  int length = snprintf(text, sizeof text,
                        "{\"version\":%d,\"attempt\":%u,\"exit_code\":%d,\"signal\":%u,\"exited_unix_nanos\":\"%lld\","
                        "\"oom_kill_count\":%llu}\n",
                        RECORD_VERSION, attempt, facts->code, facts->signal, (long long)facts->exited_unix_nanos,
                        (unsigned long long)facts->oom_kills);
  write_record("exit.json", text, length);
}

uint64_t count_oom_kills(const struct prepared *prepared) {
  if (prepared->memory_cgroup < 0) return 0;
  char text[512];
  const char *name = prepared->memory_cgroup_v2 ? "memory.events" : "memory.oom_control";
  int fd = openat(prepared->memory_cgroup, name, O_RDONLY | O_CLOEXEC);
  ssize_t got = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
  if (fd >= 0) close(fd);
  if (got <= 0) return 0;
  text[got] = 0;
  const char *line = strstr(text, "oom_kill ");
  return line == NULL ? 0 : strtoull(line + 9, NULL, 10);
}
