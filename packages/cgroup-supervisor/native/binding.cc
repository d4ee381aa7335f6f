// The only file that knows JavaScript. One plain value in, one out; checks and defaults live in src/native.ts.
#include <napi.h>

#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "device_filter.h"
#include "oom_watch.h"
#include "process_handle.h"

namespace {

using gantry::SysError;
using gantry::cgroup::OomWatch;

Napi::Error toJavaScript(Napi::Env env, const SysError& failure) {
  auto error = Napi::Error::New(env, failure.stage + ": " + strerror(failure.err));
  error.Set("stage", failure.stage);
  error.Set("errno", Napi::Number::New(env, failure.err));
  error.Set("path", failure.path);
  return error;
}

double numberArgument(const Napi::CallbackInfo& info, size_t index, const char* what) {
  if (info.Length() <= index || !info[index].IsNumber())
    throw Napi::TypeError::New(info.Env(), std::string(what) + " is not a number");
  const double value = info[index].As<Napi::Number>().DoubleValue();
  // What is cast below must fit: pids and descriptors are ints, tokens are counted from 1.
  if (!(value >= INT32_MIN && value <= INT32_MAX)) throw Napi::RangeError::New(info.Env(), std::string(what) + " is out of range");
  return value;
}

// new OomWatch((token) => ...): add(directory) → token, remove(token), close().
class OomWatchObject : public Napi::ObjectWrap<OomWatchObject> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "OomWatch",
                       {InstanceMethod<&OomWatchObject::add>("add"), InstanceMethod<&OomWatchObject::remove>("remove"),
                        InstanceMethod<&OomWatchObject::close>("close")});
  }

  explicit OomWatchObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<OomWatchObject>(info) {
    if (info.Length() < 1 || !info[0].IsFunction()) throw Napi::TypeError::New(info.Env(), "notify is not a function");
    notify_ = Napi::ThreadSafeFunction::New(info.Env(), info[0].As<Napi::Function>(), "gantry-oom-watch", 0, 1);
    // Watching alone is no reason for the process to live.
    notify_.Unref(info.Env());
    auto function = notify_;
    auto started = OomWatch::start([function](uint64_t token) mutable {
      function.NonBlockingCall([token](Napi::Env env, Napi::Function callback) {
        callback.Call({Napi::Number::New(env, static_cast<double>(token))});
      });
    });
    if (!started) {
      notify_.Release();
      throw toJavaScript(info.Env(), started.error());
    }
    watch_.reset(started.value());
  }

  ~OomWatchObject() override { stop(); }

 private:
  Napi::Value add(const Napi::CallbackInfo& info) {
    if (!watch_) throw Napi::Error::New(info.Env(), "the watch is closed");
    if (info.Length() < 1 || !info[0].IsString()) throw Napi::TypeError::New(info.Env(), "directory is not a string");
    auto token = watch_->add(info[0].As<Napi::String>().Utf8Value());
    if (!token) throw toJavaScript(info.Env(), token.error());
    return Napi::Number::New(info.Env(), static_cast<double>(token.value()));
  }

  Napi::Value remove(const Napi::CallbackInfo& info) {
    const double token = numberArgument(info, 0, "token");
    if (watch_ && token > 0) watch_->remove(static_cast<uint64_t>(token));
    return info.Env().Null();
  }

  Napi::Value close(const Napi::CallbackInfo& info) {
    stop();
    return info.Env().Null();
  }

  void stop() {
    if (!watch_) return;
    watch_.reset();
    notify_.Release();
  }

  std::unique_ptr<OomWatch> watch_;
  Napi::ThreadSafeFunction notify_;
};

// openProcess(pid) → descriptor, owned by the caller; null when there is no such process.
Napi::Value openProcess(const Napi::CallbackInfo& info) {
  auto opened = gantry::cgroup::openProcess(static_cast<pid_t>(numberArgument(info, 0, "pid")));
  if (opened) return Napi::Number::New(info.Env(), opened->release());
  if (opened.error().err == ESRCH || opened.error().err == EINVAL) return info.Env().Null();
  throw toJavaScript(info.Env(), opened.error());
}

// killProcess(descriptor) → whether SIGKILL was sent.
Napi::Value killProcess(const Napi::CallbackInfo& info) {
  auto killed = gantry::cgroup::killProcess(static_cast<int>(numberArgument(info, 0, "descriptor")));
  if (!killed) throw toJavaScript(info.Env(), killed.error());
  return Napi::Boolean::New(info.Env(), killed.value());
}

// restrictDevices(directory, Int32Array of five numbers a rule)
Napi::Value restrictDevices(const Napi::CallbackInfo& info) {
  if (info.Length() < 2 || !info[0].IsString()) throw Napi::TypeError::New(info.Env(), "directory is not a string");
  if (!info[1].IsTypedArray() || info[1].As<Napi::TypedArray>().TypedArrayType() != napi_int32_array)
    throw Napi::TypeError::New(info.Env(), "rules is not an Int32Array");
  const auto numbers = info[1].As<Napi::Int32Array>();
  constexpr size_t kNumbersPerRule = 5;
  if (numbers.ElementLength() % kNumbersPerRule != 0) throw Napi::RangeError::New(info.Env(), "rules is cut off");
  std::vector<gantry::cgroup::DeviceRule> rules;
  for (size_t at = 0; at < numbers.ElementLength(); at += kNumbersPerRule)
    rules.push_back({numbers[at] != 0, numbers[at + 1], numbers[at + 2], numbers[at + 3], numbers[at + 4] & 7});
  auto restricted = gantry::cgroup::restrictDevices(info[0].As<Napi::String>().Utf8Value(), rules);
  if (!restricted) throw toJavaScript(info.Env(), restricted.error());
  return info.Env().Null();
}

// canRestrictDevices() → boolean
Napi::Value canRestrictDevices(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), gantry::cgroup::canRestrictDevices());
}

Napi::Object initialize(Napi::Env env, Napi::Object exports) {
  exports.Set("OomWatch", OomWatchObject::define(env));
  exports.Set("openProcess", Napi::Function::New(env, openProcess, "openProcess"));
  exports.Set("killProcess", Napi::Function::New(env, killProcess, "killProcess"));
  exports.Set("restrictDevices", Napi::Function::New(env, restrictDevices, "restrictDevices"));
  exports.Set("canRestrictDevices", Napi::Function::New(env, canRestrictDevices, "canRestrictDevices"));
  return exports;
}

}  // namespace

NODE_API_MODULE(cgroup_supervisor, initialize)
