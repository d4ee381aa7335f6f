// The JavaScript face of the core: plain objects in, one callback with plain objects out, every job on threads of its own.
#include <fcntl.h>
#include <napi.h>
#include <unistd.h>

#include <functional>
#include <memory>
#include <optional>
#include <system_error>
#include <thread>

#include "extract_job.h"
#include "failure.h"
#include "inherit.h"
#include "remove_tree.h"
#include "upper_changes.h"

namespace {

using gantry::UniqueFd;
using namespace gantry::image;

// Builds the callback's argument, on the JavaScript thread.
using Report = std::function<Napi::Object(Napi::Env)>;

const char* kindName(FailureKind kind) {
  switch (kind) {
    case FailureKind::kHostile: return "hostile";
    case FailureKind::kMalformed: return "malformed";
    case FailureKind::kTruncated: return "truncated";
    case FailureKind::kSystem: return "system";
    case FailureKind::kCancelled: return "cancelled";
  }
  return "system";
}

Report reportFailure(Failure failure) {
  return [failure = std::move(failure)](Napi::Env env) {
    Napi::Object event = Napi::Object::New(env);
    event.Set("type", "failed");
    event.Set("kind", kindName(failure.kind));
    event.Set("message", failure.message);
    event.Set("errno", failure.err);
    event.Set("path", failure.path);
    return event;
  };
}

Report reportDone(std::function<void(Napi::Object&)> fill) {
  return [fill = std::move(fill)](Napi::Env env) {
    Napi::Object event = Napi::Object::New(env);
    event.Set("type", "done");
    fill(event);
    return event;
  };
}

// The way back to JavaScript from any thread.
class Reporter {
 public:
  Reporter(Napi::Env env, Napi::Function callback)
      : callback_(Napi::ThreadSafeFunction::New(env, callback, "gantry-image-store", 0, 1)) {}

  void report(Report report) {
    auto* held = new Report(std::move(report));
    const napi_status status = callback_.NonBlockingCall(held, [](Napi::Env env, Napi::Function callback, Report* data) {
      const std::unique_ptr<Report> owned(data);
      if (env != nullptr) callback.Call({(*owned)(env)});
    });
    if (status != napi_ok) delete held;
  }
  void release() { callback_.Release(); }

 private:
  Napi::ThreadSafeFunction callback_;
};

// Runs `work` on a thread of its own and reports what it returns or throws.
void startJob(Napi::Env env, Napi::Function callback, std::function<Report(Reporter&)> work) {
  auto reporter = std::make_shared<Reporter>(env, callback);
  try {
    std::thread([reporter, work = std::move(work)]() mutable {
      Report last;
      try {
        last = work(*reporter);
      } catch (Failure& failure) {
        last = reportFailure(std::move(failure));
      } catch (const std::exception& error) {
        last = reportFailure(Failure{FailureKind::kSystem, error.what(), ENOMEM, {}});
      }
      work = nullptr;  // Descriptors are closed before anybody hears that the job is done.
      reporter->report(std::move(last));
      reporter->release();
    }).detach();
  } catch (const std::system_error&) {
    reporter->release();
    throw Napi::Error::New(env, "cannot start a thread");
  }
}

UniqueFd duplicate(Napi::Env env, const Napi::Value& value) {
  if (!value.IsNumber()) throw Napi::TypeError::New(env, "a descriptor must be a number");
  UniqueFd fd(::fcntl(value.As<Napi::Number>().Int32Value(), F_DUPFD_CLOEXEC, 3));
  if (!fd) throw Napi::Error::New(env, "the descriptor is not open");
  return fd;
}

Napi::Function functionAt(const Napi::CallbackInfo& info, size_t index) {
  if (!info[index].IsFunction()) throw Napi::TypeError::New(info.Env(), "a function is expected");
  return info[index].As<Napi::Function>();
}

std::shared_ptr<std::vector<UniqueFd>> duplicateAll(Napi::Env env, const Napi::Value& value) {
  if (!value.IsArray()) throw Napi::TypeError::New(env, "descriptors are expected");
  const Napi::Array list = value.As<Napi::Array>();
  auto fds = std::make_shared<std::vector<UniqueFd>>();
  for (uint32_t i = 0; i < list.Length(); i++) fds->push_back(duplicate(env, list.Get(i)));
  return fds;
}

// The paths stay on this side: names are bytes, JavaScript's strings are not.
using ImpliedDirectories = std::shared_ptr<std::vector<std::string>>;

// inherit(rootFd, lowerFds, callback), once the extraction is done
Napi::Function inheritFunction(Napi::Env env, ImpliedDirectories implied) {
  return Napi::Function::New(env, [implied](const Napi::CallbackInfo& call) {
    auto root = std::make_shared<UniqueFd>(duplicate(call.Env(), call[0]));
    auto lowers = duplicateAll(call.Env(), call[1]);
    startJob(call.Env(), functionAt(call, 2), [implied, root, lowers](Reporter&) {
      inheritDirectories(*root, *lowers, *implied);
      return reportDone([](Napi::Object&) {});
    });
  });
}

// extract(blobFd, growing, rootFd | null, archive, callback) -> {advance(bytes), end(), cancel(), inherit(...)}
Napi::Value extract(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (info.Length() != 5 || !info[1].IsBoolean() || !info[3].IsBoolean())
    throw Napi::TypeError::New(env, "extract takes a blob, whether it grows, a root, whether it is an archive, and a function");
  std::optional<UniqueFd> root;
  if (!info[2].IsNull()) root = duplicate(env, info[2]);
  const TreeKind kind = info[3].As<Napi::Boolean>().Value() ? TreeKind::kArchive : TreeKind::kLayer;
  auto job = std::make_shared<ExtractJob>(duplicate(env, info[0]), info[1].As<Napi::Boolean>().Value(), std::move(root), kind);
  const ImpliedDirectories implied = std::make_shared<std::vector<std::string>>();
  startJob(env, functionAt(info, 4), [job, implied](Reporter& reporter) {
    ExtractResult result = job->run([&reporter](uint64_t bytes) {
      reporter.report([bytes](Napi::Env env) {
        Napi::Object event = Napi::Object::New(env);
        event.Set("type", "progress");
        event.Set("bytes", static_cast<double>(bytes));
        return event;
      });
    });
    *implied = std::move(result.impliedDirectories);
    return reportDone([result, implied](Napi::Object& event) {
      event.Set("blobDigest", result.blobDigest);
      event.Set("diffId", result.diffId);
      event.Set("blobBytes", static_cast<double>(result.blobBytes));
      event.Set("diffBytes", static_cast<double>(result.diffBytes));
      event.Set("writtenBytes", static_cast<double>(result.writtenBytes));
      event.Set("entryCount", static_cast<double>(result.entryCount));
      event.Set("opaqueRoot", result.opaqueRoot);
      event.Set("impliedCount", static_cast<double>(implied->size()));
    });
  });
  Napi::Object handle = Napi::Object::New(env);
  handle.Set("advance", Napi::Function::New(env, [job](const Napi::CallbackInfo& call) {
               if (!call[0].IsNumber()) throw Napi::TypeError::New(call.Env(), "a number of bytes is expected");
               const double bytes = call[0].As<Napi::Number>().DoubleValue();
               if (bytes >= 0) job->blob().advance(static_cast<uint64_t>(bytes));
             }));
  handle.Set("end", Napi::Function::New(env, [job](const Napi::CallbackInfo&) { job->blob().end(); }));
  handle.Set("cancel", Napi::Function::New(env, [job](const Napi::CallbackInfo&) { job->blob().cancel(); }));
  handle.Set("inherit", inheritFunction(env, implied));
  return handle;
}

// removeTree(directoryFd, name, callback)
void removeTreeJob(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  auto directory = std::make_shared<UniqueFd>(duplicate(env, info[0]));
  if (!info[1].IsString()) throw Napi::TypeError::New(env, "a name is expected");
  const std::string name = info[1].As<Napi::String>();
  if (name.empty() || name == "." || name == ".." || name.find('/') != std::string::npos)
    throw Napi::TypeError::New(env, "a single name is expected");
  startJob(env, functionAt(info, 2), [directory, name](Reporter&) {
    removeTree(directory->get(), name);
    return reportDone([](Napi::Object&) {});
  });
}

// summarizeUpper(upperFd, lowerFds, limit, callback)
void summarizeUpperJob(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!info[2].IsNumber()) throw Napi::TypeError::New(env, "a limit is expected");
  auto upper = std::make_shared<UniqueFd>(duplicate(env, info[0]));
  auto lowers = duplicateAll(env, info[1]);
  const size_t limit = info[2].As<Napi::Number>().Uint32Value();
  startJob(env, functionAt(info, 3), [upper, lowers, limit](Reporter&) {
    auto summary = std::make_shared<UpperSummary>(summarizeUpper(std::move(*upper), std::move(*lowers), limit));
    return reportDone([summary](Napi::Object& event) {
      Napi::Array changes = Napi::Array::New(event.Env(), summary->changes.size());
      for (uint32_t i = 0; i < summary->changes.size(); i++) {
        Napi::Object change = Napi::Object::New(event.Env());
        change.Set("path", summary->changes[i].path);
        change.Set("kind", std::string(1, summary->changes[i].kind));
        changes.Set(i, change);
      }
      event.Set("changes", changes);
      event.Set("changeCount", static_cast<double>(summary->changeCount));
      event.Set("bytes", static_cast<double>(summary->bytes));
    });
  });
}

// syncFileSystem(fd, callback): everything written so far on the descriptor's file system is on its disk.
void syncFileSystemJob(const Napi::CallbackInfo& info) {
  auto fd = std::make_shared<UniqueFd>(duplicate(info.Env(), info[0]));
  startJob(info.Env(), functionAt(info, 1), [fd](Reporter&) {
    if (::syncfs(fd->get()) != 0) failSystem("sync", "the file system");
    return reportDone([](Napi::Object&) {});
  });
}

Napi::Object initialize(Napi::Env env, Napi::Object exports) {
  exports.Set("extract", Napi::Function::New(env, extract));
  exports.Set("removeTree", Napi::Function::New(env, removeTreeJob));
  exports.Set("summarizeUpper", Napi::Function::New(env, summarizeUpperJob));
  exports.Set("syncFileSystem", Napi::Function::New(env, syncFileSystemJob));
  return exports;
}

}  // namespace

NODE_API_MODULE(gantry_image_store, initialize)
