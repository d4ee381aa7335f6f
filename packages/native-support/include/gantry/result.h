#pragma once

#include <cerrno>
#include <string>
#include <utility>
#include <variant>

namespace gantry {

// A failed system call: what was being done (`stage`), why (`err`), and to what (`path`, may be empty).
// `code()` is the errno; `errno` itself is a macro and cannot name a member.
struct SysError {
  std::string stage;
  int err = 0;
  std::string path;

  [[nodiscard]] int code() const noexcept { return err; }
};

// Takes errno now, before building the strings can change it.
inline SysError lastError(std::string stage, std::string path = {}) {
  return SysError{std::move(stage), errno, std::move(path)};
}
inline SysError makeError(std::string stage, int err, std::string path = {}) {
  return SysError{std::move(stage), err, std::move(path)};
}

// Either a value or the error that prevented it. Implicit from both, so that `return value;` and `return lastError("open");` read well.
template <typename T, typename E = SysError>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(E error) : state_(std::in_place_index<1>, std::move(error)) {}

  [[nodiscard]] bool ok() const noexcept { return state_.index() == 0; }
  explicit operator bool() const noexcept { return ok(); }

  [[nodiscard]] T& value() & { return std::get<0>(state_); }
  [[nodiscard]] const T& value() const& { return std::get<0>(state_); }
  [[nodiscard]] T&& value() && { return std::get<0>(std::move(state_)); }
  T& operator*() & { return value(); }
  T&& operator*() && { return std::get<0>(std::move(state_)); }
  T* operator->() { return &value(); }

  [[nodiscard]] E& error() & { return std::get<1>(state_); }
  [[nodiscard]] const E& error() const& { return std::get<1>(state_); }
  [[nodiscard]] E&& error() && { return std::get<1>(std::move(state_)); }

 private:
  std::variant<T, E> state_;
};

// Success carries nothing.
template <typename E>
class [[nodiscard]] Result<void, E> {
 public:
  Result() = default;
  Result(E error) : error_(std::move(error)), failed_(true) {}

  [[nodiscard]] bool ok() const noexcept { return !failed_; }
  explicit operator bool() const noexcept { return ok(); }
  [[nodiscard]] E& error() & { return error_; }
  [[nodiscard]] const E& error() const& { return error_; }
  [[nodiscard]] E&& error() && { return std::move(error_); }

 private:
  E error_{};
  bool failed_ = false;
};

}  // namespace gantry
