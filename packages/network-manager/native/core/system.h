// Errors that name the step they come from, over the shared result and descriptor types.
#pragma once

#include <gantry/result.h>
#include <gantry/unique_fd.h>

#include <cerrno>
#include <string>
#include <utility>

namespace gantry::network {

using gantry::UniqueFd;

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

template <typename T>
using Result = gantry::Result<T, SysError>;

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
