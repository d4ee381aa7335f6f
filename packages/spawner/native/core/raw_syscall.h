// System calls made by hand, for the few steps between clone and exec: they touch neither errno (shared with the suspended parent
// thread) nor any lock of the C library.
#pragma once

#include <sys/syscall.h>

// For functions that a child runs on the stack it shares with its parent: it never returns from them, and an address sanitizer
// would hold their frames to be still there when the parent goes on.
#define GANTRY_SHARES_STACK [[gnu::no_sanitize_address]]

namespace gantry::spawner {

#if defined(__x86_64__)
[[gnu::always_inline]] GANTRY_SHARES_STACK inline long rawSyscall(long number, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0) {
  long result;
  register long r10 asm("r10") = d;
  register long r8 asm("r8") = e;
  asm volatile("syscall"
               : "=a"(result)
               : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
               : "rcx", "r11", "memory");
  return result;
}
#elif defined(__aarch64__)
[[gnu::always_inline]] GANTRY_SHARES_STACK inline long rawSyscall(long number, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0) {
  register long x8 asm("x8") = number;
  register long x0 asm("x0") = a;
  register long x1 asm("x1") = b;
  register long x2 asm("x2") = c;
  register long x3 asm("x3") = d;
  register long x4 asm("x4") = e;
  asm volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory");
  return x0;
}
#else
#error "gantry runs on x86-64 and arm64"
#endif

}  // namespace gantry::spawner
