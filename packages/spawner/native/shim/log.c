// The container's log, in docker's json-file form, rotated here because nobody else may be alive to do it.
//
// A file holds whole records only. When the disk is full the process goes on and what does not fit is counted, told to whoever
// watches, and written down as a record of its own as soon as there is room again.
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#include "kernel.h"
#include "shim.h"

enum {
  // The most that one record grows to: every byte of a full buffer as \u00xx, and what is around it.
  LARGEST_RECORD = 6 * STREAM_CHUNK + 160,
  // Gathered before it is written; a larger record stands alone.
  FLUSH_AT = 32 * 1024,
  MOST_RECORDS = 512,
  NOTICE_TEXT = 200,
  // Where pages are larger, madvise refuses, and the memory is kept.
  PAGE = 4096,
};

static int log_fd = -1;
static char log_path[1024];
static uint64_t log_size, log_limit;
// Where the torn record begins.
static uint64_t whole_size;
static uint32_t log_files;

// Records on their way into the file. Behind FLUSH_AT lies memory that only a binary record touches; it is given back.
_Alignas(PAGE) static char out[FLUSH_AT + LARGEST_RECORD];
static size_t out_length;
// Bytes of the process in each of them. The first may be the rest of a record whose beginning is in the file already.
static uint16_t raw_lengths[MOST_RECORDS];
static size_t out_records;
static bool torn;
// Index of the notice of a loss among them, and what it tells of; -1: none.
static int notice = -1;
static struct log_loss noticed;

static struct log_loss lost, reported;

void log_open(const struct plan *plan) {
  struct record record;
  if (!find_record(plan, TAG_LOG, &record)) return;
  log_limit = read_u64(&record.body);
  log_files = read_u32(&record.body);
  const char *path = read_string(&record.body);
  if (record.body.bad || strlen(path) >= sizeof log_path - 8) fail_with(EBADMSG, "read plan", "log");
  strcpy(log_path, path);
  log_fd = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0640);
  struct stat status;
  if (log_fd < 0 || fstat(log_fd, &status) < 0) fail("open log", log_path);
  log_size = (uint64_t)status.st_size;
}

struct log_loss log_lost(void) { return lost; }

static bool reported_all(void) { return lost.records == reported.records; }

bool log_owes(void) { return log_fd >= 0 && (torn || !reported_all()); }

// What could not be written is gone, but for the rest of a record that the file holds the beginning of.
static void lose(size_t done, int error) {
  size_t first = 0, at = 0;
  while (first < out_records) {
    const char *end = memchr(out + at, '\n', out_length - at);
    size_t next = (size_t)(end - out) + 1;
    if (next > done) break;
    if ((int)first == notice) reported = noticed;
    at = next;
    first++;
  }
  bool still_torn = torn && first == 0, keep = done > at || still_torn;
  if (!still_torn) whole_size = log_size - (done - at);
  size_t kept = 0;
  if (keep) {
    const char *end = memchr(out + done, '\n', out_length - done);
    kept = (size_t)(end - (out + done)) + 1;
    memmove(out, out + done, kept);
    if ((int)first == notice) reported = noticed;
    raw_lengths[0] = raw_lengths[first];
  }
  for (size_t index = first + (keep ? 1 : 0); index < out_records; index++) {
    if ((int)index == notice) continue;
    lost.records++;
    lost.bytes += raw_lengths[index];
  }
  lost.error = error;
  notice = -1;
  torn = keep;
  out_records = keep ? 1 : 0;
  out_length = kept;
}

static void flush_out(void) {
  size_t done = 0, length = out_length;
  while (done < length) {
    ssize_t wrote = write(log_fd, out + done, length - done);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) {
      log_size += done;
      lose(done, wrote < 0 ? errno : ENOSPC);
      return;
    }
    done += (size_t)wrote;
  }
  // Whole pages only: the kernel would round up, and empty what stands behind.
  if (length > FLUSH_AT) madvise(out + FLUSH_AT, (sizeof out - FLUSH_AT) / PAGE * PAGE, MADV_DONTNEED);
  log_size += done;
  if (notice >= 0) reported = noticed;
  notice = -1;
  torn = false;
  out_length = out_records = 0;
}

static void drop_oldest(void) {
  char path[sizeof log_path + 16];
  snprintf(path, sizeof path, "%s.%u", log_path, log_files - 1);
  if (log_files > 1) unlink(path);
}

// The new file exists before the old one gives up its name, and nothing is written to the old one any more: a reader that keeps
// its descriptor reads it to the end, then finds the next by name. With a single file that reader still has the old one.
static bool rotate(void) {
  char from[sizeof log_path + 16], to[sizeof log_path + 16], aside[sizeof log_path + 16];
  // First: on a full disk that makes the room for the new one.
  drop_oldest();
  snprintf(aside, sizeof aside, "%s.new", log_path);
  int fd = open(aside, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0640);
  if (fd < 0) return false;
  for (uint32_t number = log_files - 1; number >= 2; number--) {
    snprintf(from, sizeof from, "%s.%u", log_path, number - 1);
    snprintf(to, sizeof to, "%s.%u", log_path, number);
    rename(from, to);
  }
  snprintf(to, sizeof to, "%s.1", log_path);
  // ENOENT: somebody has taken the current file away; its place is free then.
  if ((log_files > 1 && rename(log_path, to) < 0 && errno != ENOENT) || rename(aside, log_path) < 0) {
    int error = errno;
    unlink(aside);
    close(fd);
    errno = error;
    return false;
  }
  close(log_fd);
  log_fd = fd;
  log_size = 0;
  return true;
}

// "2026-01-31T23:59:59.123456789Z"; the calendar is worked out once a second, the clock read once for what was read at once.
static char now_text[] = "1970-01-01T00:00:00.000000000Z";

static void take_time(void) {
  static time_t second = -1;
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (now.tv_sec != second) {
    struct tm parts;
    gmtime_r(&now.tv_sec, &parts);
    strftime(now_text, 20, "%Y-%m-%dT%H:%M:%S", &parts);
    now_text[19] = '.';
    second = now.tv_sec;
  }
  long nanos = now.tv_nsec;
  for (char *digit = now_text + 28; digit >= now_text + 20; digit--, nanos /= 10) *digit = (char)('0' + nanos % 10);
}

static void put(const char *text, size_t length) {
  memcpy(out + out_length, text, length);
  out_length += length;
}

static void end_record(const char *stream, size_t raw_length) {
  put("\",\"stream\":\"", 12);
  put(stream, strlen(stream));
  put("\",\"time\":\"", 10);
  put(now_text, sizeof now_text - 1);
  put("\"}\n", 3);
  raw_lengths[out_records++] = (uint16_t)raw_length;
}

// Before the first record after a loss: how much is missing at this place. It looks like a line of the process to whoever knows
// no attrs, and is told from one by them.
static void put_notice(void) {
  char text[NOTICE_TEXT];
  noticed = lost;
  uint64_t records = lost.records - reported.records, bytes = lost.bytes - reported.bytes;
  int length = snprintf(text, sizeof text,
                        "{\"log\":\"gantry: %llu records (%llu bytes) could not be logged here: %s\\n",
                        (unsigned long long)records, (unsigned long long)bytes, strerror(lost.error));
  notice = (int)out_records;
  put(text, (size_t)length);
  length = snprintf(text, sizeof text, "\",\"attrs\":{\"gantry.lost-records\":\"%llu\",\"gantry.lost-bytes\":\"%llu\"},\"stream\":\"stderr",
                    (unsigned long long)records, (unsigned long long)bytes);
  put(text, (size_t)length);
  put("\",\"time\":\"", 10);
  put(now_text, sizeof now_text - 1);
  put("\"}\n", 3);
  raw_lengths[out_records++] = 0;
}

// False, with errno, when there is no place for this record: it is lost then. One that belongs into the next file is never put
// into this one, or a log could fill the disk.
static bool make_room(const char *text, size_t length) {
  const size_t around = sizeof "{'log':'','stream':'stdout','time':''}" + sizeof now_text + (reported_all() ? 0 : 2 * NOTICE_TEXT);
  size_t most = 6 * length + around;
  if (out_length > 0 && (out_length >= FLUSH_AT || out_records >= MOST_RECORDS - 2 || out_length + most > sizeof out)) flush_out();
  errno = lost.error;
  if (out_length + most > sizeof out) return false;
  if (log_limit == 0 || log_size + out_length == 0 || log_size + out_length + most <= log_limit) return true;
  if (log_size + out_length + json_escaped_length(text, length) + around <= log_limit) return true;
  flush_out();
  // The rest of a torn record belongs into this file. Rotating would drop the oldest: so that may make the room as well.
  if (torn) {
    drop_oldest();
    flush_out();
  }
  errno = lost.error;
  return !torn && (log_size == 0 || rotate());
}

static void log_line(const char *stream, const char *text, size_t length) {
  if (!make_room(text, length)) {
    lost.records++;
    lost.bytes += length;
    lost.error = errno;
    return;
  }
  if (notice < 0 && !reported_all()) put_notice();
  put("{\"log\":\"", 8);
  out_length += json_escape(out + out_length, text, length);
  end_record(stream, length);
}

void log_stream(struct stream *stream, bool all) {
  size_t at = stream->logged;
  if (log_fd < 0) {
    stream->logged = stream->length;
    return;
  }
  take_time();
  for (;;) {
    char *end = memchr(stream->buffer + at, '\n', stream->length - at);
    if (end == NULL) break;
    size_t next = (size_t)(end - stream->buffer) + 1;
    log_line(stream->name, stream->buffer + at, next - at);
    at = next;
  }
  // Docker's rule: a line longer than its buffer of 16 KiB is cut into records that do not end in a line feed, but for the last.
  // A character is not cut.
  if (all && at < stream->length) {
    log_line(stream->name, stream->buffer + at, stream->length - at);
    at = stream->length;
  } else if (at == 0 && stream->length == STREAM_CHUNK) {
    at = whole_characters(stream->buffer, stream->length);
    log_line(stream->name, stream->buffer, at);
  }
  if (out_length > 0) flush_out();
  stream->logged = at;
}

void log_retry(void) {
  if (!log_owes()) return;
  take_time();
  if (!reported_all() && notice < 0) put_notice();
  flush_out();
}

void log_close(void) {
  log_retry();
  if (!torn) return;
  // Nobody comes to complete it any more.
  if (ftruncate(log_fd, (off_t)whole_size) < 0 || raw_lengths[0] == 0) return;
  lost.records++;
  lost.bytes += raw_lengths[0];
}
