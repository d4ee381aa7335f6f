// What outlives the shim: two small JSON files in the container's runtime directory, written aside and renamed.
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "kernel.h"
#include "shim.h"

enum { RECORD_VERSION = 1, LARGEST_RECORD = 320 };

int64_t now_unix_nanos(void) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void write_record(const char *name, const char *text, int length) {
  char aside[32];
  snprintf(aside, sizeof aside, "%s.new", name);
  int fd = open(aside, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return;
  bool whole = write(fd, text, (size_t)length) == length && ftruncate(fd, length) == 0;
  close(fd);
  if (whole) rename(aside, name);
}

// The exit is recorded however full the file system is by then.
void reserve_exit_record(void) {
  int fd = open("exit.json.new", O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return;
  // A file system that cannot has no say in whether the container runs.
  posix_fallocate(fd, 0, LARGEST_RECORD);
  close(fd);
}

void write_start_record(uint32_t attempt, const struct started *started) {
  char text[LARGEST_RECORD];
  int length = snprintf(text, sizeof text,
                        "{\"version\":%d,\"attempt\":%u,\"pid\":%d,\"shim_pid\":%d,\"started_unix_nanos\":\"%lld\",\"pid_start_ticks\":\"%llu\"}\n",
                        RECORD_VERSION, attempt, started->pid, getpid(), (long long)started->started_unix_nanos,
                        (unsigned long long)process_start_ticks(started->pid));
  write_record("start.json", text, length);
}

void write_exit_record(uint32_t attempt, const struct exit_facts *facts) {
  char text[LARGEST_RECORD];
  int length = snprintf(text, sizeof text,
                        "{\"version\":%d,\"attempt\":%u,\"exit_code\":%d,\"signal\":%u,\"exited_unix_nanos\":\"%lld\","
                        "\"oom_kill_count\":%llu,\"log_lost_records\":\"%llu\",\"log_lost_bytes\":\"%llu\"}\n",
                        RECORD_VERSION, attempt, facts->code, facts->signal, (long long)facts->exited_unix_nanos,
                        (unsigned long long)facts->oom_kills, (unsigned long long)facts->log_lost.records,
                        (unsigned long long)facts->log_lost.bytes);
  write_record("exit.json", text, length);
}
