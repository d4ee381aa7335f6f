// Bytes of a process as the inside of a JSON string. What is not UTF-8 becomes U+FFFD, as in docker's log.
#include <stdint.h>
#include <string.h>

#include "shim.h"

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

// Whether one of eight bytes is a control character, a quote, a backslash or not ASCII: then they are looked at one by one.
static bool has_special(uint64_t eight) {
  const uint64_t ones = 0x0101010101010101u, highs = 0x8080808080808080u;
  uint64_t quote = eight ^ (ones * '"'), backslash = eight ^ (ones * '\\');
  return ((eight | (eight - ones * 0x20) | (quote - ones) | (backslash - ones)) & highs) != 0;
}

static size_t plain_length(const unsigned char *text, size_t length) {
  size_t at = 0;
  for (;;) {
    uint64_t eight;
    while (length - at >= sizeof eight) {
      memcpy(&eight, text + at, sizeof eight);
      if (has_special(eight)) break;
      at += sizeof eight;
    }
    size_t before = at;
    for (int looked = 0; looked < 8 && at < length; looked++) {
      if (text[at] >= 0x80) {
        size_t sequence = utf8_length(text + at, length - at);
        if (sequence == 0) return at;
        at += sequence;
      } else if (text[at] < 0x20 || text[at] == '"' || text[at] == '\\') {
        return at;
      } else {
        at++;
      }
    }
    if (at == before) return at;
  }
}

static size_t escape_byte(char *out, unsigned char byte) {
  static const char hex[] = "0123456789abcdef";
  char letter = byte == '\n' ? 'n' : byte == '\r' ? 'r' : byte == '\t' ? 't' : byte == '"' || byte == '\\' ? (char)byte : 0;
  if (letter != 0) return memcpy(out, (char[]){'\\', letter}, 2), 2;
  if (byte >= 0x80) return memcpy(out, "\xef\xbf\xbd", 3), 3;
  return memcpy(out, (char[]){'\\', 'u', '0', '0', hex[byte >> 4], hex[byte & 15]}, 6), 6;
}

size_t json_escape(char *out, const char *bytes, size_t length) {
  const unsigned char *text = (const unsigned char *)bytes;
  size_t made = 0;
  for (size_t at = 0; at < length;) {
    size_t plain = plain_length(text + at, length - at);
    memcpy(out + made, text + at, plain);
    made += plain;
    at += plain;
    if (at < length) made += escape_byte(out + made, text[at++]);
  }
  return made;
}

size_t json_escaped_length(const char *bytes, size_t length) {
  const unsigned char *text = (const unsigned char *)bytes;
  size_t made = 0;
  for (size_t at = 0; at < length;) {
    size_t plain = plain_length(text + at, length - at);
    made += plain;
    at += plain;
    char escaped[6];
    if (at < length) made += escape_byte(escaped, text[at++]);
  }
  return made;
}

size_t whole_characters(const char *bytes, size_t length) {
  const unsigned char *text = (const unsigned char *)bytes;
  size_t last = length;
  while (last > 0 && length - last < 3 && (text[last - 1] & 0xc0) == 0x80) last--;
  if (last == 0 || text[last - 1] < 0xc2) return length;
  return utf8_length(text + last - 1, length - last + 1) == 0 ? last - 1 : length;
}
