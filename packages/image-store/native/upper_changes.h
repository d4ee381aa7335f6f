#pragma once

#include <gantry/unique_fd.h>

#include <cstdint>
#include <string>
#include <vector>

namespace gantry::image {

struct UpperChange {
  std::string path;
  char kind;  // 'A' added, 'C' changed or copied up, 'D' deleted
};

struct UpperSummary {
  std::vector<UpperChange> changes;
  uint64_t changeCount = 0;
  // Bytes on disk of everything in the directory.
  uint64_t bytes = 0;
};

// Walks an overlay's upper directory beside the layers below it (top layer first) and tells what the container changed. Lists at
// most `limit` changes, counts all. Reads from directory descriptors only and follows no link. Throws Failure.
UpperSummary summarizeUpper(UniqueFd upper, std::vector<UniqueFd> lowers, size_t limit);

}  // namespace gantry::image
