#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "growing_blob.h"
#include "sha256.h"

namespace gantry::image {

// The compressed side: reads the blob in chunks and hashes what it reads.
class CompressedInput {
 public:
  explicit CompressedInput(GrowingBlob& blob);

  // Makes sure that unread bytes are there, unless the blob has ended. Returns how many are.
  size_t fill();
  // Like fill, but collects at least `wanted` bytes unless the blob ends before: for magic numbers.
  size_t fillAtLeast(size_t wanted);
  [[nodiscard]] uint8_t* data() noexcept { return buffer_.data() + kTail + start_; }
  [[nodiscard]] size_t size() const noexcept { return end_ - start_; }
  void consume(size_t bytes) noexcept { start_ += bytes; }
  [[nodiscard]] Sha256& hash() noexcept { return hash_; }

 private:
  // igzip gives bytes that it read ahead back by moving its pointer backwards, possibly into the chunk before.
  static constexpr size_t kTail = 16;
  static constexpr size_t kChunk = 256 * 1024;

  size_t readMore(size_t offset);

  GrowingBlob& blob_;
  Sha256 hash_;
  std::vector<uint8_t> buffer_;
  size_t start_ = 0;
  size_t end_ = 0;
};

// A stream of decompressed bytes.
class Decompressor {
 public:
  virtual ~Decompressor() = default;
  // Fills `out` as far as the stream goes; 0 means its end. Throws Failure on bytes that are wrong or missing.
  virtual size_t read(uint8_t* out, size_t capacity) = 0;
  // True when what comes out is what went in, so that one hash serves for both.
  [[nodiscard]] virtual bool isPlain() const noexcept { return false; }
};

// Looks at the first bytes: gzip, zstd or plain. Media types in the field lie too often to be trusted.
std::unique_ptr<Decompressor> openDecompressor(CompressedInput& input);

}  // namespace gantry::image
