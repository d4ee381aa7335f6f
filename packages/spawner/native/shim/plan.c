#include "plan.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

enum { HEADER = 12, RECORD_HEADER = 8, LARGEST_PLAN = 8 << 20 };

static bool take(struct cursor *cursor, size_t size, void *into) {
  if (cursor->bad || (size_t)(cursor->end - cursor->at) < size) {
    cursor->bad = true;
    memset(into, 0, size);
    return false;
  }
  memcpy(into, cursor->at, size);
  cursor->at += size;
  return true;
}

uint32_t read_u32(struct cursor *cursor) {
  uint32_t value;
  take(cursor, sizeof value, &value);
  return value;
}

uint64_t read_u64(struct cursor *cursor) {
  uint64_t value;
  take(cursor, sizeof value, &value);
  return value;
}

const uint8_t *read_bytes(struct cursor *cursor, uint32_t *length) {
  *length = read_u32(cursor);
  if (cursor->bad || (size_t)(cursor->end - cursor->at) < *length) {
    cursor->bad = true;
    *length = 0;
    return (const uint8_t *)"";
  }
  const uint8_t *bytes = cursor->at;
  cursor->at += *length;
  return bytes;
}

const char *read_string(struct cursor *cursor) {
  uint32_t length;
  const uint8_t *bytes = read_bytes(cursor, &length);
  if (cursor->bad || cursor->at == cursor->end || *cursor->at != 0 || memchr(bytes, 0, length) != NULL) {
    cursor->bad = true;
    return "";
  }
  cursor->at += 1;
  return (const char *)bytes;
}

struct cursor plan_records(const struct plan *plan) {
  return (struct cursor){plan->start + HEADER, plan->start + plan->length, false};
}

bool next_record(struct cursor *records, struct record *record) {
  if (records->at == records->end || records->bad) return false;
  uint16_t head[2];
  take(records, sizeof head, head);
  uint32_t length;
  const uint8_t *body = read_bytes(records, &length);
  record->tag = head[0];
  record->body = (struct cursor){body, body + length, false};
  return !records->bad;
}

bool find_record(const struct plan *plan, uint16_t tag, struct record *record) {
  struct cursor records = plan_records(plan);
  while (next_record(&records, record))
    if (record->tag == tag) return true;
  return false;
}

bool plan_open(struct plan *plan, int fd) {
  struct stat status;
  if (fstat(fd, &status) < 0) return false;
  if (status.st_size < HEADER || status.st_size > LARGEST_PLAN) return errno = EBADMSG, false;
  plan->length = (size_t)status.st_size;
  // The service sealed the memfd: what is checked here stays as it is.
  void *map = mmap(NULL, plan->length, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
  if (map == MAP_FAILED) return false;
  plan->start = map;

  uint32_t version, total;
  memcpy(&version, plan->start + 4, 4);
  memcpy(&total, plan->start + 8, 4);
  bool good = memcmp(plan->start, "GPLN", 4) == 0 && version == PLAN_VERSION && total == plan->length;
  struct cursor records = plan_records(plan);
  struct record record;
  while (good && next_record(&records, &record)) continue;
  if (good && !records.bad && records.at == records.end) return true;
  plan_close(plan);
  errno = EBADMSG;
  return false;
}

void plan_close(struct plan *plan) {
  munmap((void *)(uintptr_t)plan->start, plan->length);
  plan->start = NULL;
}
