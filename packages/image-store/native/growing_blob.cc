#include "growing_blob.h"

#include <unistd.h>

#include <algorithm>

#include "failure.h"

namespace gantry::image {

GrowingBlob::GrowingBlob(UniqueFd fd, bool growing)
    : fd_(std::move(fd)), available_(growing ? 0 : UINT64_MAX), ended_(!growing) {}

void GrowingBlob::advance(uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  available_ = std::max(available_, bytes);
  changed_.notify_all();
}

void GrowingBlob::end() {
  const std::lock_guard lock(mutex_);
  ended_ = true;
  changed_.notify_all();
}

void GrowingBlob::cancel() {
  const std::lock_guard lock(mutex_);
  cancelled_ = true;
  changed_.notify_all();
}

bool GrowingBlob::cancelled() {
  const std::lock_guard lock(mutex_);
  return cancelled_;
}

size_t GrowingBlob::read(uint8_t* buffer, size_t capacity) {
  uint64_t readable = 0;
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return cancelled_ || ended_ || available_ > position_; });
    if (cancelled_) fail(FailureKind::kCancelled, "cancelled");
    readable = available_ - position_;
  }
  const size_t wanted = static_cast<size_t>(std::min<uint64_t>(capacity, readable));
  if (wanted == 0) return 0;
  for (;;) {
    const ssize_t got = ::pread(fd_.get(), buffer, wanted, static_cast<off_t>(position_));
    if (got >= 0) {
      position_ += static_cast<uint64_t>(got);
      return static_cast<size_t>(got);
    }
    if (errno != EINTR) failSystem("read", "the blob");
  }
}

}  // namespace gantry::image
