// Bytes of a process as the inside of a JSON string. What is not UTF-8 becomes U+FFFD, as in docker's log.
#include <stdint.h>
#include <string.h>

#include "shim.h"

// A container's output goes through here byte by byte.
#pragma GCC optimize("O2")
#pragma GCC diagnostic ignored "-Woverride-init"

#define SIXTEEN(MAKE, from)                                                                                                     \
  MAKE((from) + 0), MAKE((from) + 1), MAKE((from) + 2), MAKE((from) + 3), MAKE((from) + 4), MAKE((from) + 5), MAKE((from) + 6), \
      MAKE((from) + 7), MAKE((from) + 8), MAKE((from) + 9), MAKE((from) + 10), MAKE((from) + 11), MAKE((from) + 12),            \
      MAKE((from) + 13), MAKE((from) + 14), MAKE((from) + 15)
#define PLAIN(byte) {{byte}, 1, 0}
#define CONTROL(byte) {{'\\', 'u', '0', '0', '0' + ((byte) >> 4), ((byte) & 15) < 10 ? '0' + ((byte) & 15) : 'a' - 10 + ((byte) & 15)}, 6, 0}

// What each byte is written as when it stands for itself. Lead: it begins a sequence, if the bytes behind it go on with one.
static const struct {
  char text[6];
  uint8_t length, lead;
} escapes[256] = {
    SIXTEEN(CONTROL, 0x00), SIXTEEN(CONTROL, 0x10), SIXTEEN(PLAIN, 0x20), SIXTEEN(PLAIN, 0x30),
    SIXTEEN(PLAIN, 0x40),   SIXTEEN(PLAIN, 0x50),   SIXTEEN(PLAIN, 0x60), SIXTEEN(PLAIN, 0x70),
    [0x80 ... 0xff] = {"\xef\xbf\xbd", 3, 0},
    [0xc2 ... 0xf4] = {"\xef\xbf\xbd", 3, 1},
    ['\n'] = {"\\n", 2, 0},
    ['\r'] = {"\\r", 2, 0},
    ['\t'] = {"\\t", 2, 0},
    ['"'] = {"\\\"", 2, 0},
    ['\\'] = {"\\\\", 2, 0},
};
enum { WORD = sizeof escapes[0] };

// Length of the UTF-8 sequence that begins with 0xc2 to 0xf4, 0 when it is not one.
static size_t utf8_length(const unsigned char *at, size_t left) {
  size_t length = at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : 4;
  if (length > left) return 0;
  for (size_t index = 1; index < length; index++)
    if ((at[index] & 0xc0) != 0x80) return 0;
  if (length == 3 && ((at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xed && at[1] >= 0xa0))) return 0;
  if (length == 4 && ((at[0] == 0xf0 && at[1] < 0x90) || (at[0] == 0xf4 && at[1] >= 0x90))) return 0;
  return length;
}

// How many bytes come before the first control character, quote, backslash or byte that is not ASCII. What a byte borrows spoils
// those behind it only.
static size_t plain_bytes(uint64_t word) {
  const uint64_t ones = 0x0101010101010101u, highs = 0x8080808080808080u;
  uint64_t quote = word ^ (ones * '"'), backslash = word ^ (ones * '\\');
  uint64_t special = (word | (word - ones * 0x20) | (quote - ones) | (backslash - ones)) & highs;
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the first byte of a word is taken for its lowest"
#endif
  return special == 0 ? WORD : (size_t)__builtin_ctzll(special) / 8;
}

// Eight bytes at a time, and eight one by one where one of them is special: such bytes seldom come alone.
size_t json_escape(char *out, const char *bytes, size_t length) {
  const unsigned char *at = (const unsigned char *)bytes, *end = at + length;
  char *to = out;
  while (at < end) {
    if (end - at >= WORD) {
      uint64_t word;
      memcpy(&word, at, WORD);
      memcpy(to, &word, WORD);
      size_t plain = plain_bytes(word);
      at += plain;
      to += plain;
      if (plain == WORD) continue;
    }
    const unsigned char *stop = end - at > WORD ? at + WORD : end;
    while (at < stop) {
      unsigned char byte = *at, next = end - at > 1 ? at[1] : 0;
      // One branch that is seldom taken, whatever the bytes: in binary output all others are guessed wrong.
      if (escapes[byte].lead & ((next & 0xc0) == 0x80)) {
        size_t sequence = utf8_length(at, (size_t)(end - at));
        if (sequence > 0) {
          for (; sequence > 0; sequence--) *to++ = (char)*at++;
          continue;
        }
      }
      memcpy(to, &escapes[byte], WORD);
      to += escapes[byte].length;
      at++;
    }
  }
  return (size_t)(to - out);
}

size_t whole_characters(const char *bytes, size_t length) {
  const unsigned char *text = (const unsigned char *)bytes;
  size_t last = length;
  while (last > 0 && length - last < 3 && (text[last - 1] & 0xc0) == 0x80) last--;
  if (last == 0 || text[last - 1] < 0xc2 || text[last - 1] > 0xf4) return length;
  return utf8_length(text + last - 1, length - last + 1) == 0 ? last - 1 : length;
}
