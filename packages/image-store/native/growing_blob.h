#pragma once

#include <gantry/unique_fd.h>

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>

namespace gantry::image {

// A file that may still be downloading: readers wait for bytes that are announced but not there yet, so that a layer is
// unpacked while it arrives, with the file itself as the only buffer.
class GrowingBlob {
 public:
  // `growing` false: the file is whole and is read to its end.
  GrowingBlob(UniqueFd fd, bool growing);

  // The file holds `bytes` bytes now.
  void advance(uint64_t bytes);
  // No more will come.
  void end();
  void cancel();
  [[nodiscard]] bool cancelled();

  // Reads the next bytes; 0 means the end. Throws Failure when cancelled or when the kernel refuses.
  size_t read(uint8_t* buffer, size_t capacity);
  [[nodiscard]] uint64_t position() const noexcept { return position_; }

 private:
  UniqueFd fd_;
  uint64_t position_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
  uint64_t available_;
  bool ended_;
  bool cancelled_ = false;
};

}  // namespace gantry::image
