#include "decompressor.h"

#include <isa-l/igzip_lib.h>
#include <zstd.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "failure.h"

namespace gantry::image {

CompressedInput::CompressedInput(GrowingBlob& blob) : blob_(blob), buffer_(kTail + kChunk) {}

size_t CompressedInput::readMore(size_t offset) {
  const size_t got = blob_.read(buffer_.data() + kTail + offset, kChunk - offset);
  hash_.update(buffer_.data() + kTail + offset, got);
  return got;
}

size_t CompressedInput::fill() {
  if (size() > 0) return size();
  if (end_ > 0) {
    const size_t kept = std::min(end_, kTail);
    std::memmove(buffer_.data() + kTail - kept, buffer_.data() + kTail + end_ - kept, kept);
  }
  start_ = 0;
  end_ = 0;
  end_ = readMore(0);
  return end_;
}

size_t CompressedInput::fillAtLeast(size_t wanted) {
  while (end_ < wanted) {
    const size_t got = readMore(end_);
    if (got == 0) break;
    end_ += got;
  }
  return size();
}

namespace {

class Plain final : public Decompressor {
 public:
  explicit Plain(CompressedInput& input) : input_(input) {}
  size_t read(uint8_t* out, size_t capacity) override {
    const size_t bytes = std::min(input_.fill(), capacity);
    std::memcpy(out, input_.data(), bytes);
    input_.consume(bytes);
    return bytes;
  }
  [[nodiscard]] bool isPlain() const noexcept override { return true; }

 private:
  CompressedInput& input_;
};

class Gzip final : public Decompressor {
 public:
  explicit Gzip(CompressedInput& input) : input_(input), state_(std::make_unique<inflate_state>()) {
    isal_inflate_init(state_.get());
    state_->crc_flag = ISAL_GZIP;
  }

  size_t read(uint8_t* out, size_t capacity) override {
    state_->next_out = out;
    state_->avail_out = static_cast<uint32_t>(capacity);
    while (state_->avail_out > 0 && !ended_) {
      const size_t available = input_.fill();
      if (state_->block_state == ISAL_BLOCK_FINISH) {
        // Members may follow one another: pigz, estargz and `cat a.gz b.gz` write such files.
        if (available == 0) {
          ended_ = true;
          break;
        }
        isal_inflate_reset(state_.get());
        state_->crc_flag = ISAL_GZIP;
      }
      inflate(available);
    }
    return capacity - state_->avail_out;
  }

 private:
  void inflate(size_t available) {
    const uint32_t room = state_->avail_out;
    state_->next_in = input_.data();
    state_->avail_in = static_cast<uint32_t>(available);
    const int status = isal_inflate(state_.get());
    if (status < 0)
      fail(FailureKind::kMalformed,
           status == ISAL_INCORRECT_CHECKSUM ? "its gzip checksum is wrong" : "its gzip stream is damaged");
    // Pointer difference, not avail_in: it can be negative when igzip gives back what it had read ahead.
    const ptrdiff_t used = state_->next_in - input_.data();
    input_.consume(static_cast<size_t>(used));
    const bool stuck = used == 0 && state_->avail_out == room && state_->block_state != ISAL_BLOCK_FINISH;
    if (available == 0 && stuck) fail(FailureKind::kTruncated, "its gzip stream ends too early");
  }

  CompressedInput& input_;
  std::unique_ptr<inflate_state> state_;
  bool ended_ = false;
};

class Zstd final : public Decompressor {
 public:
  explicit Zstd(CompressedInput& input) : input_(input), stream_(ZSTD_createDStream()) {
    if (stream_ == nullptr) fail(FailureKind::kMalformed, "no memory for zstd");
  }
  ~Zstd() override { ZSTD_freeDStream(stream_); }
  Zstd(const Zstd&) = delete;
  Zstd& operator=(const Zstd&) = delete;

  size_t read(uint8_t* out, size_t capacity) override {
    ZSTD_outBuffer output{out, capacity, 0};
    while (output.pos < capacity) {
      const size_t available = input_.fill();
      if (available == 0 && frameDone_) break;
      ZSTD_inBuffer in{input_.data(), available, 0};
      const size_t before = output.pos;
      const size_t status = ZSTD_decompressStream(stream_, &output, &in);
      if (ZSTD_isError(status) != 0)
        fail(FailureKind::kMalformed, std::string("its zstd stream is damaged (") + ZSTD_getErrorName(status) + ")");
      input_.consume(in.pos);
      if (available == 0 && output.pos == before) fail(FailureKind::kTruncated, "its zstd stream ends too early");
      frameDone_ = status == 0;
    }
    return output.pos;
  }

 private:
  CompressedInput& input_;
  ZSTD_DStream* stream_;
  bool frameDone_ = false;
};

}  // namespace

std::unique_ptr<Decompressor> openDecompressor(CompressedInput& input) {
  const size_t length = input.fillAtLeast(8);
  const uint8_t* head = input.data();
  const auto startsWith = [&](std::initializer_list<uint8_t> magic) {
    return length >= magic.size() && std::equal(magic.begin(), magic.end(), head);
  };
  if (startsWith({0x1f, 0x8b})) return std::make_unique<Gzip>(input);
  if (startsWith({0x28, 0xb5, 0x2f, 0xfd})) return std::make_unique<Zstd>(input);
  const bool skippable = length >= 4 && (head[0] & 0xf0) == 0x50 && startsWith({head[0], 0x2a, 0x4d, 0x18});
  if (skippable) return std::make_unique<Zstd>(input);
  if (startsWith({0xfd, '7', 'z', 'X', 'Z', 0})) fail(FailureKind::kMalformed, "it is compressed with xz, which is not supported");
  if (startsWith({'B', 'Z', 'h'})) fail(FailureKind::kMalformed, "it is compressed with bzip2, which is not supported");
  return std::make_unique<Plain>(input);
}

}  // namespace gantry::image
