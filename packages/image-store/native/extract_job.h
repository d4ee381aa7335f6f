#pragma once

#include <gantry/unique_fd.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "growing_blob.h"
#include "tree_writer.h"

namespace gantry::image {

struct ExtractResult {
  // Digest of the blob's own bytes, and of what they decompress to.
  std::string blobDigest;
  std::string diffId;
  uint64_t blobBytes = 0;
  uint64_t diffBytes = 0;
  uint64_t writtenBytes = 0;
  uint64_t entryCount = 0;
  bool opaqueRoot = false;
  // Directories that the tar left out, parents first: what the layers below say of them is to be copied.
  std::vector<std::string> impliedDirectories;
};

// Reads, hashes, decompresses and hashes again on one thread, writes the tree on the other.
class ExtractJob {
 public:
  // Without a root the blob is only read and hashed as it is.
  ExtractJob(UniqueFd blob, bool growing, std::optional<UniqueFd> root, TreeKind kind);

  GrowingBlob& blob() noexcept { return blob_; }

  // Blocks until done, on a thread that is the job's own: its priority is lowered for good. `progress` hears, from another thread and at most ten times a second, how much of the blob has been read.
  ExtractResult run(const std::function<void(uint64_t)>& progress);

 private:
  GrowingBlob blob_;
  std::optional<UniqueFd> root_;
  TreeKind kind_;
};

}  // namespace gantry::image
