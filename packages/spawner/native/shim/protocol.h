// The socket protocol, version 1. src/shim-protocol.ts is its other side.
//
//   u32 payload length | u16 frame | u16 zero | payload        little-endian
//
//   service                                   shim
//     │ (fd 4, connected since birth)  STARTED │  or FAILED and the end
//     │ HELLO ──────────────────────> HELLO    │  on every later connection
//     │ ATTACH ─────────────────────> ATTACHED │  then STDOUT / STDERR as they come
//     │ STDIN, STDIN_EOF, RESIZE, SIGNAL ...   │
//     │ WATCH                             EXIT │  the last frame; then the shim closes
#pragma once

#include <stdint.h>

#define SHIM_PROTOCOL_VERSION 1u

enum frame_kind {
  // To the shim.
  FRAME_HELLO = 1,      // u32 version
  FRAME_ATTACH = 2,     // u32 attach_flag bits, u16 rows, u16 columns (0: leave)
  FRAME_STDIN = 3,      // bytes
  FRAME_STDIN_EOF = 4,  //
  FRAME_RESIZE = 5,     // u16 rows, u16 columns
  FRAME_SIGNAL = 6,     // u32 signal; answered by RESULT
  FRAME_WATCH = 7,      // asks for EXIT
  FRAME_RELEASE = 8,    // held output flows
  FRAME_DEADLINE = 9,   // reserved for fencing; answered by RESULT ENOSYS
  // From the shim.
  FRAME_STARTED = 32,   // u32 pid, u32 shim pid, i64 started unix nanos (also the answer to HELLO, before it u32 version)
  FRAME_FAILED = 33,    // i32 errno, stage NUL, path NUL
  FRAME_ATTACHED = 34,  //
  FRAME_STDOUT = 35,
  FRAME_STDERR = 36,
  FRAME_EXIT = 37,      // i32 code, u32 signal, i64 exited unix nanos, u64 oom kills; since 0.2: u64 log records lost, u64 bytes of them
  FRAME_RESULT = 38,    // u32 frame answered, i32 errno; EUSERS for HELLO or ATTACH: too many clients
  FRAME_LOG_LOST = 39,  // since 0.2, to who watches: u64 records lost until now, u64 bytes of them, i32 errno of the last
  FRAME_PLACE = 40,     // u32 pid; waits for RELEASE (only with FLAG_AWAIT_PLACEMENT)
};

enum attach_flag {
  ATTACH_STDIN = 1 << 0,
  ATTACH_OUTPUT = 1 << 1,
  // The process waits for this client as it would for a slow terminal, for 30 s without a byte taken; for others a moment only.
  ATTACH_LOSSLESS = 1 << 2,
};

enum { LARGEST_INPUT_FRAME = 4096 };

struct frame_header {
  uint32_t length;
  uint16_t kind;
  uint16_t zero;
};
