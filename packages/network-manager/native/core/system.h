// Owned descriptors and errors that name the step they come from.
#pragma once

#include <unistd.h>

#include <cerrno>
#include <string>
#include <utility>
#include <variant>

namespace gantry::network {

// A file descriptor that closes itself. Moved, never copied.
class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other) reset(std::exchange(other.fd_, -1));
    return *this;
  }
  UniqueFd(const UniqueFd&) = delete;
  UniqueFd& operator=(const UniqueFd&) = delete;
  ~UniqueFd() { reset(); }

  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  void reset(int fd = -1) {
    // close() is never retried on EINTR: Linux has released the descriptor by then.
    if (fd_ >= 0) ::close(fd_);
    fd_ = fd;
  }

 private:
  int fd_ = -1;
};

// What failed, why, and on what. `number` is an errno; `detail` replaces its text where the kernel says more.
struct SysError {
  std::string stage;
  int number = 0;
  std::string path;
  std::string detail;
};

inline SysError system_error(std::string stage, std::string path = {}) {
  return SysError{std::move(stage), errno, std::move(path), {}};
}

// A value or the error that stands in its place.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::move(value)) {}
  Result(SysError error) : state_(std::move(error)) {}
  bool ok() const { return state_.index() == 0; }
  T& value() { return std::get<0>(state_); }
  SysError& error() { return std::get<1>(state_); }

 private:
  std::variant<T, SysError> state_;
};

struct Done {};
using Status = Result<Done>;

// Repeats a call that a signal interrupted.
template <typename Call>
auto retry(Call call) -> decltype(call()) {
  for (;;) {
    auto answer = call();
    if (answer >= 0 || errno != EINTR) return answer;
  }
}

}  // namespace gantry::network
