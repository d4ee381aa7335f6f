// The parts of the shim that read what others have written, as an ordinary program: under the address sanitizer, which a static
// program cannot have. Reads a plan from the file given, damages it as often as told, and reads it as the shim would; then does
// the like with the log and with paths in a hostile tree below the working directory.
#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "../shim/kernel.h"
#include "../shim/shim.h"

static jmp_buf on_failure;
static unsigned long failures;

noreturn void fail_with(int error, const char *stage, const char *path) {
  (void)error, (void)stage, (void)path;
  failures++;
  longjmp(on_failure, 1);
}
noreturn void fail(const char *stage, const char *path) { fail_with(errno, stage, path); }

void give_start_pages_back(void) {}

static uint64_t state;
static uint32_t random_number(uint32_t below) {
  state ^= state << 13, state ^= state >> 7, state ^= state << 17;
  return (uint32_t)(state >> 16) % below;
}

// Touches every byte that a reader hands out, so that one past the end is seen.
static volatile size_t touched;
static void read_every_way(struct record *record) {
  struct cursor start = record->body;
  for (int way = 0; way < 4; way++) {
    struct cursor body = start;
    for (int step = 0; step < 64 && !body.bad; step++) {
      uint32_t length;
      switch ((way + step) % 4) {
        case 0: touched += strlen(read_string(&body)); break;
        case 1: touched += read_u32(&body); break;
        case 2: touched += (size_t)read_u64(&body); break;
        default: {
          const uint8_t *bytes = read_bytes(&body, &length);
          for (uint32_t index = 0; index < length; index++) touched += bytes[index];
        }
      }
    }
  }
}

static bool read_plan(const uint8_t *bytes, size_t length) {
  int fd = memfd_create("plan", MFD_CLOEXEC);
  if (fd < 0 || write(fd, bytes, length) != (ssize_t)length) abort();
  struct plan plan;
  bool good = plan_open(&plan, fd);
  close(fd);
  if (!good) return false;
  struct cursor records = plan_records(&plan);
  struct record record;
  while (next_record(&records, &record)) read_every_way(&record);
  plan_close(&plan);
  return true;
}

static unsigned long damage_plans(const char *path, unsigned long times) {
  static uint8_t whole[1 << 20], damaged[1 << 20];
  FILE *file = fopen(path, "rb");
  size_t length = file == NULL ? 0 : fread(whole, 1, sizeof whole, file);
  if (length < 12 || !read_plan(whole, length)) return fprintf(stderr, "the plan given is not one\n"), exit(2), 0;
  unsigned long readable = 0;
  for (unsigned long time = 0; time < times; time++) {
    memcpy(damaged, whole, length);
    size_t now = length;
    for (uint32_t flips = 1 + random_number(4); flips > 0; flips--) damaged[random_number((uint32_t)length)] ^= (uint8_t)(1 << random_number(8));
    if (random_number(4) == 0) {
      now = 12 + random_number((uint32_t)length - 12);
      uint32_t told = (uint32_t)now;
      memcpy(damaged + 8, &told, 4);
    }
    readable += read_plan(damaged, now);
  }
  return readable;
}

static void write_logs(unsigned long times) {
  uint8_t bytes[512];
  const uint64_t limit = 20000;
  const uint32_t files = 3;
  const char path[] = "log";
  uint32_t path_length = sizeof path - 1, total, body = 8 + 4 + 4 + sizeof path;
  memcpy(bytes, "GPLN\1\0\0\0", 8);
  // The version is whatever the reader wants: taken from the header it is compiled with.
  uint32_t version = PLAN_VERSION;
  memcpy(bytes + 4, &version, 4);
  uint16_t head[2] = {TAG_LOG, 0};
  memcpy(bytes + 12, head, 4);
  memcpy(bytes + 16, &body, 4);
  memcpy(bytes + 20, &limit, 8);
  memcpy(bytes + 28, &files, 4);
  memcpy(bytes + 32, &path_length, 4);
  memcpy(bytes + 36, path, sizeof path);
  total = 20 + body;
  memcpy(bytes + 8, &total, 4);
  int fd = memfd_create("plan", MFD_CLOEXEC);
  struct plan plan;
  if (fd < 0 || write(fd, bytes, total) != (ssize_t)total || !plan_open(&plan, fd)) abort();
  if (setjmp(on_failure)) abort();
  log_open(&plan);
  // On the heap, exactly as long as it is: the sanitizer sees one byte more.
  struct stream stream = {.fd = -1, .name = "stdout", .buffer = malloc(STREAM_CHUNK)};
  for (unsigned long time = 0; time < times; time++) {
    size_t room = STREAM_CHUNK - stream.length, add = random_number(2) ? room : random_number((uint32_t)room + 1);
    // Few line ends, much of it broken UTF-8.
    for (size_t index = 0; index < add; index++)
      stream.buffer[stream.length + index] = random_number(300) == 0 ? '\n' : (char)(random_number(3) == 0 ? 0x80 + random_number(128) : random_number(128));
    stream.length += add;
    log_stream(&stream, random_number(8) == 0);
    if (random_number(4) == 0) log_flush();
    if (stream.logged > stream.length) abort();
    // As the poll loop does once clients have been told.
    stream.length -= stream.logged;
    memmove(stream.buffer, stream.buffer + stream.logged, stream.length);
    stream.logged = 0;
    if (stream.length > STREAM_CHUNK) abort();
  }
  free(stream.buffer);
}

static void seek_targets(unsigned long times) {
  static const char *const parts[] = {"a", "b", "c", "..", ".", "", "link", "up", "loop", "absolute", "a-name-that-is-not-there"};
  if (mkdir("root", 0755) < 0 || mkdir("root/a", 0755) < 0 || symlink("../../../../outside", "root/up") < 0 ||
      symlink("/outside", "root/absolute") < 0 || symlink("loop", "root/loop") < 0 || symlink("a/../b", "root/link") < 0)
    abort();
  int root = open("root", O_PATH | O_DIRECTORY | O_CLOEXEC);
  char home[PATH_MAX], proc[64], found[PATH_MAX];
  if (root < 0 || realpath("root", home) == NULL) abort();
  for (volatile unsigned long time = 0; time < times; time++) {
    char *path = calloc(1, PATH_MAX);
    size_t depth = 1 + random_number(random_number(50) == 0 ? 400 : 6);
    for (size_t index = 0; index < depth; index++) {
      strcat(path, "/");
      strcat(path, parts[random_number(sizeof parts / sizeof *parts)]);
      if (strlen(path) > PATH_MAX - 64) break;
    }
    if (setjmp(on_failure) == 0) {
      int fd = open_target(root, path, random_number(4) != 0);
      snprintf(proc, sizeof proc, "/proc/self/fd/%d", fd);
      ssize_t length = readlink(proc, found, sizeof found - 1);
      found[length < 0 ? 0 : length] = 0;
      if (strncmp(found, home, strlen(home)) != 0) fprintf(stderr, "%s led to %s\n", path, found), exit(1);
      close(fd);
    }
    free(path);
    // What a failure left open is the program's that ends then.
    sys_close_range((unsigned)root + 1, ~0u, 0);
  }
  if (access("outside", F_OK) == 0) fprintf(stderr, "something was made outside\n"), exit(1);
}

int main(int count, char **arguments) {
  if (count != 4) return 2;
  state = strtoull(arguments[2], NULL, 10) | 1;
  unsigned long times = strtoul(arguments[3], NULL, 10);
  unsigned long readable = damage_plans(arguments[1], times);
  write_logs(times / 50);
  seek_targets(times / 10);
  printf("%lu of %lu damaged plans could still be read\n", readable, times);
}
