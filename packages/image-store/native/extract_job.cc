#include "extract_job.h"

#include <archive.h>
#include <locale.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string_view>
#include <thread>

#include "chunk_queue.h"
#include "decompressor.h"
#include "failure.h"
#include "sha256.h"

namespace gantry::image {
namespace {

constexpr auto kProgressPeriod = std::chrono::milliseconds(100);
constexpr int kNiceness = 5;

// Unpacking gives way to everything else on the node: containers must start as fast as ever during a pull. Niceness is a
// thread's own on Linux, and lowering oneself is always allowed.
void giveWay() { ::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), kNiceness); }

// libarchive turns pax names into the thread's character set, composing accents on the way, and falls back to the bytes as
// they are when it cannot. Names are bytes here: with the "C" locale it never can.
class PlainLocale {
 public:
  PlainLocale() : locale_(::newlocale(LC_ALL_MASK, "C", nullptr)), before_(::uselocale(locale_)) {}
  ~PlainLocale() {
    ::uselocale(before_);
    ::freelocale(locale_);
  }
  PlainLocale(const PlainLocale&) = delete;
  PlainLocale& operator=(const PlainLocale&) = delete;

 private:
  locale_t locale_;
  locale_t before_;
};

class ProgressMeter {
 public:
  explicit ProgressMeter(const std::function<void(uint64_t)>& report) : report_(report) {}
  void at(uint64_t bytes) {
    const auto now = std::chrono::steady_clock::now();
    if (now - last_ < kProgressPeriod) return;
    last_ = now;
    report_(bytes);
  }

 private:
  const std::function<void(uint64_t)>& report_;
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

// What the decompressing thread leaves behind.
struct Decompressed {
  std::string blobDigest;
  std::string diffId;
  uint64_t bytes = 0;
  std::optional<Failure> failure;
};

Decompressed decompress(GrowingBlob& blob, ChunkQueue& queue, ProgressMeter& meter) {
  giveWay();
  Decompressed result;
  try {
    CompressedInput input(blob);
    const std::unique_ptr<Decompressor> stream = openDecompressor(input);
    Sha256 hash;
    while (std::optional<ChunkQueue::Chunk> chunk = queue.takeEmpty()) {
      chunk->length = stream->read(chunk->bytes.get(), ChunkQueue::kChunkBytes);
      if (chunk->length == 0) break;
      if (!stream->isPlain()) hash.update(chunk->bytes.get(), chunk->length);
      result.bytes += chunk->length;
      meter.at(blob.position());
      queue.putFull(std::move(*chunk));
    }
    result.blobDigest = input.hash().finish();
    result.diffId = stream->isPlain() ? result.blobDigest : hash.finish();
  } catch (Failure& failure) {
    result.failure = std::move(failure);
  } catch (const std::bad_alloc&) {
    result.failure = Failure{FailureKind::kSystem, "get memory for", ENOMEM, "a layer"};
  }
  queue.close();
  return result;
}

// A link that is put before every tar and skipped again. libarchive (seen with 3.6) loses the pax target of a link whose own
// header leaves it empty, as Go's does for names without any ASCII, unless it has read a target before.
const std::array<char, 512>& primer() {
  static const std::array<char, 512> header = [] {
    std::array<char, 512> block{};
    const auto put = [&block](size_t offset, std::string_view text) { std::copy(text.begin(), text.end(), block.begin() + offset); };
    put(0, "primer");
    put(100, "0000777");
    put(108, "0000000");
    put(116, "0000000");
    put(124, "00000000000");
    put(136, "00000000000");
    put(156, "2");
    put(157, "target");
    put(257, std::string_view("ustar\00000", 8));
    put(148, "        ");
    unsigned sum = 0;
    for (const char byte : block) sum += static_cast<unsigned char>(byte);
    std::array<char, 8> text{};
    std::snprintf(text.data(), text.size(), "%06o", sum);
    put(148, std::string_view(text.data(), 7));
    return block;
  }();
  return header;
}

// Feeds libarchive from the queue; keeps the buffer that it is reading from.
struct TarFeed {
  ChunkQueue& queue;
  GrowingBlob& blob;
  std::optional<ChunkQueue::Chunk> current;
  bool primed = false;

  bool next() {
    if (current) queue.putEmpty(std::move(*current));
    current = queue.takeFull();
    return current.has_value();
  }
  static la_ssize_t read(archive*, void* self, const void** block) {
    auto* feed = static_cast<TarFeed*>(self);
    if (!feed->primed) {
      feed->primed = true;
      *block = primer().data();
      return static_cast<la_ssize_t>(primer().size());
    }
    if (!feed->next()) return 0;
    *block = feed->current->bytes.get();
    return static_cast<la_ssize_t>(feed->current->length);
  }
};

// A name that is not ASCII makes libarchive warn that it left the bytes alone, which is what is wanted; other warnings are damage.
bool isNameWarning(const char* message) {
  return message != nullptr && std::strstr(message, "can't be converted from") != nullptr;
}

[[noreturn]] void failArchive(archive* source) {
  const char* text = archive_error_string(source);
  const bool early = text != nullptr && std::strstr(text, "runcated") != nullptr;
  if (early) fail(FailureKind::kTruncated, "its tar stream ends too early");
  fail(FailureKind::kMalformed, std::string("its tar stream is damaged (") + (text != nullptr ? text : "unknown") + ")");
}

void writeTree(TarFeed& feed, TreeWriter& writer) {
  const PlainLocale locale;
  const std::unique_ptr<archive, int (*)(archive*)> source(archive_read_new(), archive_read_free);
  archive_read_support_format_tar(source.get());
  archive_entry* entry = nullptr;
  if (archive_read_open(source.get(), &feed, nullptr, TarFeed::read, nullptr) != ARCHIVE_OK ||
      archive_read_next_header(source.get(), &entry) != ARCHIVE_OK)
    failArchive(source.get());
  for (;;) {
    const int status = archive_read_next_header(source.get(), &entry);
    if (status == ARCHIVE_EOF) break;
    if (status != ARCHIVE_OK && !(status == ARCHIVE_WARN && isNameWarning(archive_error_string(source.get()))))
      failArchive(source.get());
    if (feed.blob.cancelled()) fail(FailureKind::kCancelled, "cancelled");
    writer.write(source.get(), entry);
  }
  // Padding after the end of the tar belongs to the digests.
  while (feed.next()) {
  }
  writer.finish();
}

ExtractResult readOnly(GrowingBlob& blob, ProgressMeter& meter) {
  CompressedInput input(blob);
  while (input.fill() > 0) {
    input.consume(input.size());
    meter.at(blob.position());
  }
  ExtractResult result;
  result.blobDigest = input.hash().finish();
  result.blobBytes = blob.position();
  return result;
}

}  // namespace

ExtractJob::ExtractJob(UniqueFd blob, bool growing, std::optional<UniqueFd> root, TreeKind kind)
    : blob_(std::move(blob), growing), root_(std::move(root)), kind_(kind) {}

ExtractResult ExtractJob::run(const std::function<void(uint64_t)>& progress) {
  giveWay();
  ProgressMeter meter(progress);
  if (!root_) return readOnly(blob_, meter);
  ChunkQueue queue;
  Decompressed stream;
  std::thread decompressing([&] { stream = decompress(blob_, queue, meter); });
  TreeWriter writer(std::move(*root_), kind_);
  std::optional<Failure> failure;
  try {
    TarFeed feed{queue, blob_, std::nullopt, false};
    writeTree(feed, writer);
  } catch (Failure& caught) {
    failure = blob_.cancelled() ? Failure{FailureKind::kCancelled, "cancelled", 0, {}} : std::move(caught);
    // The other thread may wait for bytes that are still downloading.
    blob_.cancel();
  } catch (const std::bad_alloc&) {
    failure = Failure{FailureKind::kSystem, "get memory for", ENOMEM, "a layer"};
    blob_.cancel();
  }
  queue.abandon();
  decompressing.join();
  // A stream that broke is why the tar in it ended early; one that was cancelled is only the consequence.
  if (stream.failure && (!failure || stream.failure->kind != FailureKind::kCancelled)) throw std::move(*stream.failure);
  if (failure) throw std::move(*failure);
  ExtractResult result;
  result.blobDigest = stream.blobDigest;
  result.diffId = stream.diffId;
  result.blobBytes = blob_.position();
  result.diffBytes = stream.bytes;
  result.writtenBytes = writer.bytesWritten();
  result.entryCount = writer.entryCount();
  result.opaqueRoot = writer.opaqueRoot();
  result.impliedDirectories = writer.impliedDirectories();
  return result;
}

}  // namespace gantry::image
