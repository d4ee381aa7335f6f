#pragma once

#include <nettle/sha2.h>

#include <cstddef>
#include <cstdint>
#include <string>

namespace gantry::image {

// SHA-256 by nettle, which uses the processor's SHA instructions. OpenSSL is avoided on purpose: node exports the symbols
// of its own copy, and a second libcrypto in one process would bind to a mixture of both.
class Sha256 {
 public:
  Sha256() { sha256_init(&context_); }
  void update(const uint8_t* data, size_t length) { sha256_update(&context_, length, data); }

  // "sha256:<64 hex>"; starts over.
  std::string finish() {
    uint8_t digest[SHA256_DIGEST_SIZE];
    sha256_digest(&context_, sizeof digest, digest);
    static constexpr char kHex[] = "0123456789abcdef";
    std::string text = "sha256:";
    for (const uint8_t byte : digest) {
      text.push_back(kHex[byte >> 4]);
      text.push_back(kHex[byte & 15]);
    }
    return text;
  }

 private:
  sha256_ctx context_;
};

}  // namespace gantry::image
