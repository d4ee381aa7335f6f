#pragma once

#include <cerrno>
#include <string>
#include <utility>

namespace gantry::image {

enum class FailureKind {
  kHostile,    // the archive tries to reach out of its tree
  kMalformed,  // the bytes are not what they claim to be
  kTruncated,  // the bytes end too early
  kSystem,     // the kernel said no; `err` says why
  kCancelled,
};

// Why a job ended early. Thrown inside the core, caught at the job's edge, never across a thread.
struct Failure {
  FailureKind kind = FailureKind::kSystem;
  std::string message;
  int err = 0;
  std::string path;
};

[[noreturn]] inline void fail(FailureKind kind, std::string message, std::string path = {}) {
  throw Failure{kind, std::move(message), 0, std::move(path)};
}

// Takes errno now, before building strings can change it.
[[noreturn]] inline void failSystem(const char* stage, const std::string& path) {
  const int err = errno;
  throw Failure{FailureKind::kSystem, stage, err, path};
}

}  // namespace gantry::image
