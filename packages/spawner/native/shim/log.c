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

// A hundred megabytes a second, in lines of twenty bytes.
#pragma GCC optimize("O2")

enum {
  // The file grows by whole pieces of this size, from one multiple of it to the next, as long as more is there to be written: the
  // page cache then holds them as one, which halves the work.
  PIECE = 32 * 1024,
  MOST_RECORDS = 512,
  NOTICE_TEXT = 200,
  // The most that one record grows to: every byte of a full buffer as \u00xx, what is around it, and a notice before it.
  LARGEST_RECORD = 6 * STREAM_CHUNK + 160 + 3 * NOTICE_TEXT,
  // What json_escape may write past its end.
  SLACK = 8,
  // Where pages are larger, madvise refuses, and the memory is kept.
  PAGE = 4096,
  KEPT = 2 * PAGE,
};

static int log_fd = -1;
static char log_path[1024];
static uint64_t log_size, log_limit;
// Where the torn record begins.
static uint64_t whole_size;
static uint32_t log_files;

// Records on their way into the file. Most of it is memory that only bursts and binary records touch; it is given back.
_Alignas(PAGE) static char out[(LARGEST_RECORD + SLACK + PAGE - 1) / PAGE * PAGE];
static size_t out_length, out_touched;
// Where each of them ends, and how many bytes of the process it holds. The first may be the rest of a record whose beginning is in
// the file already.
static struct {
  uint32_t end;
  uint16_t raw_length;
} records[MOST_RECORDS];
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

// The first `done` bytes are in the file.
static void settle(size_t done) {
  size_t whole = out_records;
  while (whole > 0 && records[whole - 1].end > done) whole--;
  size_t at = whole == 0 ? 0 : records[whole - 1].end;
  log_size += done;
  bool is_same = torn && whole == 0;
  torn = is_same || done > at;
  if (torn && !is_same) whole_size = log_size - (done - at);
  if (notice >= 0 && notice < (int)whole) reported = noticed;
  notice = notice < (int)whole ? -1 : notice - (int)whole;
  out_records -= whole;
  for (size_t index = 0; index < out_records; index++) {
    records[index].end = records[whole + index].end - (uint32_t)done;
    records[index].raw_length = records[whole + index].raw_length;
  }
  out_length -= done;
  memmove(out, out + done, out_length);
}

// What could not be written is gone, but for the rest of a record that the file holds the beginning of.
static void lose(int error) {
  size_t kept = torn ? 1 : 0;
  for (size_t index = kept; index < out_records; index++) {
    if ((int)index == notice) continue;
    lost.records++;
    lost.bytes += records[index].raw_length;
  }
  lost.error = error;
  if (torn && notice == 0) reported = noticed;
  notice = -1;
  out_records = kept;
  out_length = kept == 0 ? 0 : records[0].end;
}

static void flush_out(size_t length) {
  size_t done = 0;
  while (done < length) {
    ssize_t wrote = write(log_fd, out + done, length - done);
    if (wrote < 0 && errno == EINTR) continue;
    int error = wrote < 0 ? errno : ENOSPC;
    if (wrote <= 0) {
      settle(done);
      return lose(error);
    }
    done += (size_t)wrote;
  }
  settle(length);
}

// What a burst has touched, but for what every line takes. Whole pages only: the kernel would round up, and empty what stands behind.
static void give_back(void) {
  if (out_touched <= KEPT || out_length > 0) return;
  madvise(out + KEPT, (out_touched + SLACK - KEPT + PAGE - 1) / PAGE * PAGE, MADV_DONTNEED);
  out_touched = 0;
}

void log_flush(void) {
  if (out_length > 0) flush_out(out_length);
  give_back();
}

// Up to the last border of a piece, if there is one.
static void flush_pieces(void) {
  uint64_t border = (log_size + out_length) / PIECE * PIECE;
  if (border > log_size) flush_out((size_t)(border - log_size));
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
  give_start_pages_back();
  return true;
}

// "2026-01-31T23:59:59.123456789Z"; the calendar is worked out once a second, the clock read once for what was read at once.
static char now_text[] = "1970-01-01T00:00:00.000000000Z";

static void put_digits(char *text, int count, long value) {
  for (char *digit = text + count - 1; digit >= text; digit--, value /= 10) *digit = (char)('0' + value % 10);
}

static void take_time(void) {
  static time_t second = -1;
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (now.tv_sec != second) {
    struct tm parts;
    gmtime_r(&now.tv_sec, &parts);
    // By hand: strftime would bring locales and time zones into the program.
    put_digits(now_text, 4, parts.tm_year + 1900);
    put_digits(now_text + 5, 2, parts.tm_mon + 1);
    put_digits(now_text + 8, 2, parts.tm_mday);
    put_digits(now_text + 11, 2, parts.tm_hour);
    put_digits(now_text + 14, 2, parts.tm_min);
    put_digits(now_text + 17, 2, parts.tm_sec);
    second = now.tv_sec;
  }
  put_digits(now_text + 20, 9, now.tv_nsec);
}

static inline void put(const char *text, size_t length) {
  memcpy(out + out_length, text, length);
  out_length += length;
}

// What stands behind the text of a record; the same for all that was read at once.
static struct record_end {
  char text[sizeof "\",\"stream\":\"stdout\",\"time\":\"\"}\n" - 1 + sizeof now_text - 1];
} record_end;

static void make_record_end(const char *stream) {
  size_t at = 0;
  const char *const parts[] = {"\",\"stream\":\"", stream, "\",\"time\":\"", now_text, "\"}\n"};
  for (size_t index = 0; index < sizeof parts / sizeof *parts; index++) {
    size_t length = strlen(parts[index]);
    memcpy(record_end.text + at, parts[index], length);
    at += length;
  }
}

static inline void note_record(size_t raw_length) {
  records[out_records].end = (uint32_t)out_length;
  records[out_records++].raw_length = (uint16_t)raw_length;
  if (out_length > out_touched) out_touched = out_length;
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
  note_record(0);
}

// Puts what is gathered into the file, then begins the next one; what lies behind that in `out` stays. False, with errno, when that cannot be.
static bool begin_file(void) {
  flush_out(out_length);
  // The rest of a torn record belongs into this file. Rotating would drop the oldest: so that may make the room as well.
  if (torn) {
    drop_oldest();
    flush_out(out_length);
  }
  errno = lost.error;
  return !torn && (log_size == 0 || rotate());
}

static bool is_over(size_t more) { return log_limit != 0 && log_size + out_length > 0 && log_size + out_length + more > log_limit; }

static void lose_line(size_t length) {
  lost.records++;
  lost.bytes += length;
  lost.error = errno;
}

// One that belongs into the next file is never put into this one, or a log could fill the disk.
static void log_line(const char *text, size_t length) {
  const bool tells = notice < 0 && !reported_all();
  const size_t most = 6 * length + sizeof "{'log':'" + sizeof record_end + (tells ? 3 * NOTICE_TEXT : 0);
  if (out_length > 0 && (out_records >= MOST_RECORDS - 2 || out_length + most > sizeof out - SLACK)) log_flush();
  errno = lost.error;
  if (out_length + most > sizeof out - SLACK) return lose_line(length);
  if (tells) {
    if (is_over(most) && !begin_file()) return lose_line(length);
    put_notice();
  }
  const size_t begin = out_length;
  put("{\"log\":\"", 8);
  out_length += json_escape(out + out_length, text, length);
  put(record_end.text, sizeof record_end.text);
  const size_t size = out_length - begin;
  if (log_limit != 0 && log_size + begin > 0 && log_size + out_length > log_limit) {
    out_length = begin;
    if (!begin_file()) return lose_line(length);
    memmove(out + out_length, out + begin, size);
    out_length += size;
    out_touched = begin + size > out_touched ? begin + size : out_touched;
  }
  note_record(length);
  flush_pieces();
}

// Behind the next line feed; NULL when there is none.
static const char *behind_line(const char *at, const char *end) {
  const uint64_t ones = 0x0101010101010101u, highs = 0x8080808080808080u;
  for (uint64_t word; end - at >= (ptrdiff_t)sizeof word; at += sizeof word) {
    memcpy(&word, at, sizeof word);
    word ^= ones * '\n';
    word = (word - ones) & ~word & highs;
    if (word != 0) return at + __builtin_ctzll(word) / 8 + 1;
  }
  while (at < end && *at != '\n') at++;
  return at < end ? at + 1 : NULL;
}

void log_stream(struct stream *stream, bool all) {
  size_t at = stream->logged;
  if (log_fd < 0) {
    stream->logged = stream->length;
    return;
  }
  take_time();
  make_record_end(stream->name);
  const char *end = stream->buffer + stream->length;
  for (const char *line = stream->buffer + at, *next; (next = behind_line(line, end)) != NULL; line = next) {
    log_line(line, (size_t)(next - line));
    at += (size_t)(next - line);
  }
  // Docker's rule: a line longer than its buffer of 16 KiB is cut into records that do not end in a line feed, but for the last.
  // A character is not cut.
  if (all && at < stream->length) {
    log_line(stream->buffer + at, stream->length - at);
    at = stream->length;
  } else if (at == 0 && stream->length == STREAM_CHUNK) {
    at = whole_characters(stream->buffer, stream->length);
    log_line(stream->buffer, at);
  }
  stream->logged = at;
}

void log_retry(void) {
  if (!log_owes()) return;
  take_time();
  if (!reported_all() && notice < 0) put_notice();
  log_flush();
}

void log_close(void) {
  log_flush();
  log_retry();
  if (!torn) return;
  // Nobody comes to complete it any more.
  if (ftruncate(log_fd, (off_t)whole_size) < 0 || records[0].raw_length == 0) return;
  lost.records++;
  lost.bytes += records[0].raw_length;
}
