#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "failure.h"

namespace gantry::image {

// The bounded way from the decompressing thread to the writing one: a few buffers that go round.
class ChunkQueue {
 public:
  static constexpr size_t kChunkBytes = 512 * 1024;
  static constexpr size_t kChunks = 4;

  struct Chunk {
    std::unique_ptr<uint8_t[]> bytes;
    size_t length = 0;
  };

  ChunkQueue() {
    for (size_t i = 0; i < kChunks; i++) empty_.push_back(Chunk{std::make_unique<uint8_t[]>(kChunkBytes), 0});
  }

  // Producer: an empty buffer, or none when the consumer has gone.
  std::optional<Chunk> takeEmpty() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return abandoned_ || !empty_.empty(); });
    if (abandoned_) return std::nullopt;
    Chunk chunk = std::move(empty_.back());
    empty_.pop_back();
    return chunk;
  }
  void putFull(Chunk chunk) {
    const std::lock_guard lock(mutex_);
    full_.push_back(std::move(chunk));
    changed_.notify_all();
  }
  void close() {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    changed_.notify_all();
  }

  // Consumer: the next buffer, or none at the end (also when the producer failed: the job asks it why).
  std::optional<Chunk> takeFull() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return closed_ || !full_.empty(); });
    if (full_.empty()) return std::nullopt;
    Chunk chunk = std::move(full_.front());
    full_.pop_front();
    return chunk;
  }
  void putEmpty(Chunk chunk) {
    const std::lock_guard lock(mutex_);
    empty_.push_back(std::move(chunk));
    changed_.notify_all();
  }
  void abandon() {
    const std::lock_guard lock(mutex_);
    abandoned_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Chunk> empty_;
  std::deque<Chunk> full_;
  bool closed_ = false;
  bool abandoned_ = false;
};

}  // namespace gantry::image
