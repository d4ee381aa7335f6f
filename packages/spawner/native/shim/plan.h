// The plan: a flat list of records that TypeScript compiled from the runtime-spec. src/plan-format.ts writes what this reads.
//
//   "GPLN" | u32 version | u32 total length          then records:
//   u16 tag | u16 zero | u32 payload length | payload
//
// Integers are little-endian. A string is u32 length | bytes | NUL, the NUL not counted; it can be used in place.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PLAN_VERSION 2u

enum plan_tag {
  TAG_FLAGS = 1,
  TAG_DIRECTORY = 2,
  TAG_LOG = 3,
  TAG_SHIM_CGROUP = 4,
  TAG_CGROUP = 5,
  TAG_USER_NAMESPACE = 6,
  TAG_NETWORK_NAMESPACE = 7,
  TAG_NEW_NAMESPACES = 8,
  TAG_EXEC_TARGET = 9,
  TAG_ATTEMPT = 10,
  TAG_LAYER = 20,
  TAG_WRITABLE = 21,
  TAG_ROOT_DIRECTORY = 22,
  TAG_MOUNT_FILESYSTEM = 30,
  TAG_MOUNT_BIND = 31,
  TAG_LINK = 33,
  TAG_SYSCTL = 34,
  TAG_HOSTNAME = 35,
  TAG_DOMAINNAME = 36,
  TAG_MASK = 37,
  TAG_READONLY = 38,
  TAG_ROOT_PROPAGATION = 40,
  TAG_REMOUNT = 41,
  TAG_DEVICE = 42,
  TAG_ARGUMENTS = 50,
  TAG_ENVIRONMENT = 51,
  TAG_WORKING_DIRECTORY = 52,
  TAG_USER = 53,
  TAG_CAPABILITIES = 54,
  TAG_RLIMIT = 55,
  TAG_OOM_SCORE_ADJ = 56,
  TAG_SECCOMP = 57,
  TAG_WINDOW = 58,
  TAG_ID_MAP = 60,
  TAG_NAMESPACE_PATH = 61,
  TAG_HOOK = 62,
  TAG_STATE = 63,
  TAG_START_SOCKET = 64,
  TAG_CONSOLE_SOCKET = 65,
  TAG_PRESERVED_DESCRIPTORS = 66,
  TAG_PIDFD_SOCKET = 67,
  TAG_SECCOMP_LISTENER = 90,
  TAG_SCHEDULER = 80,
  TAG_IO_PRIORITY = 81,
  TAG_CPU_AFFINITY = 82,
  TAG_PERSONALITY = 83,
  TAG_MEMORY_POLICY = 84,
  TAG_TIME_OFFSETS = 85,
  TAG_NETWORK_DEVICE = 86,
  TAG_SECURITY_LABEL = 87,
};

enum plan_flag {
  FLAG_EXEC = 1 << 0,
  FLAG_TERMINAL = 1 << 1,
  FLAG_OPEN_STDIN = 1 << 2,
  FLAG_STDIN_ONCE = 1 << 3,
  // Nothing is read from the process until a client attached (or HOLD_SECONDS passed): its first byte is not missed.
  FLAG_HOLD_OUTPUT = 1 << 4,
  FLAG_ROOT_READONLY = 1 << 5,
  FLAG_NO_NEW_PRIVILEGES = 1 << 6,
  // Whoever started this program watches the process: stdio is inherited, there is neither socket nor log nor record.
  FLAG_CALLER = 1 << 7,
  // With FLAG_CALLER: this program ends once the process runs, which then belongs to the nearest subreaper.
  FLAG_DETACH = 1 << 8,
  FLAG_NO_PIVOT = 1 << 9,
  FLAG_KEEP_KEYRING = 1 << 10,
  // The stage goes on only when the caller, told its pid, has put it where it belongs (a systemd scope).
  FLAG_AWAIT_PLACEMENT = 1 << 11,
  // The shim writes down when each part of the start was reached (moments.c).
  FLAG_MOMENTS = 1 << 12,
};

// Of TAG_HOOK; src/plan-format.ts has the same numbers.
enum hook_kind { HOOK_PRESTART = 1, HOOK_CREATE_RUNTIME = 2, HOOK_CREATE_CONTAINER = 3, HOOK_START_CONTAINER = 4 };

// Of TAG_MOUNT_FILESYSTEM and TAG_MOUNT_BIND.
enum mount_flag {
  MOUNT_RECURSIVE = 1 << 0,
  MOUNT_IDMAP = 1 << 1,
  // A kernel that refuses this mount does not fail the start.
  MOUNT_TOLERATED = 1 << 2,
  // A tmpfs begins with what it covers.
  MOUNT_COPY_UP = 1 << 3,
  // Its mode is said; else, with MOUNT_COPY_UP, it is that of the directory covered.
  MOUNT_OWN_MODE = 1 << 4,
};

// A span of the plan being read; `bad` sticks once a read ran past the end.
struct cursor {
  const uint8_t *at, *end;
  bool bad;
};

struct record {
  uint16_t tag;
  struct cursor body;
};

uint32_t read_u32(struct cursor *cursor);
uint64_t read_u64(struct cursor *cursor);
// Never NULL; "" when bad. Refuses strings with a NUL inside.
const char *read_string(struct cursor *cursor);
const uint8_t *read_bytes(struct cursor *cursor, uint32_t *length);

struct plan {
  const uint8_t *start;
  size_t length;
};

// Maps the plan from `fd` and checks its frame: header, and every record within bounds. False with errno.
bool plan_open(struct plan *plan, int fd);
void plan_close(struct plan *plan);
struct cursor plan_records(const struct plan *plan);
bool next_record(struct cursor *records, struct record *record);
bool find_record(const struct plan *plan, uint16_t tag, struct record *record);
