// The container's log, in docker's json-file format, rotated here because nobody else may be alive to do it.
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "kernel.h"
#include "shim.h"

static int log_fd = -1;
static char log_path[1024];
static uint64_t log_size, log_limit;
static uint32_t log_files;

static char out[8192];
static size_t out_length;

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

// A full disk costs the lines that do not fit, never the container.
static void flush_out(void) {
  size_t done = 0;
  while (log_fd >= 0 && done < out_length) {
    ssize_t wrote = write(log_fd, out + done, out_length - done);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) break;
    done += (size_t)wrote;
  }
  log_size += done;
  out_length = 0;
}

static void rotate(void) {
  char from[sizeof log_path + 16], to[sizeof log_path + 16];
  close(log_fd);
  for (uint32_t number = log_files - 1; number >= 1; number--) {
    snprintf(to, sizeof to, "%s.%u", log_path, number);
    if (number == 1)
      snprintf(from, sizeof from, "%s", log_path);
    else
      snprintf(from, sizeof from, "%s.%u", log_path, number - 1);
    rename(from, to);
  }
  log_fd = open(log_path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0640);
  log_size = 0;
}

static void put(const char *text, size_t length) {
  if (out_length + length > sizeof out) flush_out();
  memcpy(out + out_length, text, length);
  out_length += length;
}

// Length of the UTF-8 sequence at `at`, 0 when it is not one.
static size_t utf8_length(const unsigned char *at, size_t left) {
  size_t length = at[0] < 0x80 ? 1 : at[0] >= 0xc2 && at[0] < 0xe0 ? 2 : at[0] >= 0xe0 && at[0] < 0xf0 ? 3
                  : at[0] >= 0xf0 && at[0] < 0xf5 ? 4 : 0;
  if (length == 0 || length > left) return 0;
  for (size_t index = 1; index < length; index++)
    if ((at[index] & 0xc0) != 0x80) return 0;
  if (length == 3 && ((at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xed && at[1] >= 0xa0))) return 0;
  if (length == 4 && ((at[0] == 0xf0 && at[1] < 0x90) || (at[0] == 0xf4 && at[1] >= 0x90))) return 0;
  return length;
}

static void put_escaped(const unsigned char *text, size_t length) {
  static const char hex[] = "0123456789abcdef";
  size_t at = 0;
  while (at < length) {
    size_t plain = at;
    while (plain < length && text[plain] >= 0x20 && text[plain] < 0x7f && text[plain] != '"' && text[plain] != '\\' &&
           plain - at < 1024)
      plain++;
    if (plain > at) {
      put((const char *)text + at, plain - at);
      at = plain;
      continue;
    }
    unsigned char byte = text[at];
    if (byte == '"' || byte == '\\') {
      put((char[]){'\\', (char)byte}, 2);
    } else if (byte == '\n') {
      put("\\n", 2);
    } else if (byte == '\r') {
      put("\\r", 2);
    } else if (byte == '\t') {
      put("\\t", 2);
    } else if (byte < 0x80) {
      put((char[]){'\\', 'u', '0', '0', hex[byte >> 4], hex[byte & 15]}, 6);
    } else {
      size_t sequence = utf8_length(text + at, length - at);
      if (sequence > 0) {
        put((const char *)text + at, sequence);
        at += sequence;
        continue;
      }
      put("\\ufffd", 6);
    }
    at++;
  }
}

// "2026-01-31T23:59:59.123456789Z"; the calendar is worked out once a second.
static const char *timestamp(void) {
  static char text[40];
  static time_t second = -1;
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (now.tv_sec != second) {
    struct tm parts;
    gmtime_r(&now.tv_sec, &parts);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
    second = now.tv_sec;
  }
  snprintf(text + 19, sizeof text - 19, ".%09ldZ", now.tv_nsec);
  return text;
}

static void log_line(const char *stream, const char *text, size_t length) {
  if (log_fd < 0) return;
  // Escaping can only lengthen: rotation is judged on the unescaped line, so a file may pass its limit by one line.
  if (log_limit > 0 && log_size + out_length > 0 && log_size + out_length + length + 80 > log_limit) {
    flush_out();
    rotate();
  }
  put("{\"log\":\"", 8);
  put_escaped((const unsigned char *)text, length);
  char tail[96];
  int size = snprintf(tail, sizeof tail, "\",\"stream\":\"%s\",\"time\":\"%s\"}\n", stream, timestamp());
  put(tail, (size_t)size);
}

// Where to cut a line that fills the whole buffer: not inside a UTF-8 sequence.
static size_t cut_whole_characters(const char *text, size_t length) {
  size_t cut = length;
  while (cut > length - 3 && ((unsigned char)text[cut - 1] & 0xc0) == 0x80) cut--;
  size_t last = cut - 1;
  return (unsigned char)text[last] >= 0xc2 && utf8_length((const unsigned char *)text + last, length - last) == 0 ? last
                                                                                                                   : length;
}

void log_stream(struct stream *stream, bool all) {
  size_t at = 0;
  for (;;) {
    char *end = memchr(stream->buffer + at, '\n', stream->length - at);
    if (end == NULL) break;
    size_t next = (size_t)(end - stream->buffer) + 1;
    log_line(stream->name, stream->buffer + at, next - at);
    at = next;
  }
  if (all && at < stream->length) {
    log_line(stream->name, stream->buffer + at, stream->length - at);
    at = stream->length;
  } else if (at == 0 && stream->length == STREAM_CHUNK) {
    at = cut_whole_characters(stream->buffer, stream->length);
    log_line(stream->name, stream->buffer, at);
  }
  flush_out();
  stream->length -= at;
  memmove(stream->buffer, stream->buffer + at, stream->length);
}
