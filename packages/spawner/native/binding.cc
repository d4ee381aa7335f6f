// The addon's edge: plain values in, plain values out; every failure is one Error with `stage`, `errno` and `path`.
#include <napi.h>

#include "core/seccomp_filter.h"
#include "core/shim_process.h"

#include <unistd.h>

#include <cstring>

namespace gantry::spawner {
namespace {

[[noreturn]] void raise(Napi::Env env, const SysError& error) {
  auto failure = Napi::Error::New(env, error.stage + (error.path.empty() ? "" : " " + error.path) + ": " + strerror(error.err));
  failure.Set("stage", Napi::String::New(env, error.stage));
  failure.Set("errno", Napi::Number::New(env, error.err));
  failure.Set("path", Napi::String::New(env, error.path));
  throw failure;
}

template <typename T>
T take(Napi::Env env, Result<T> result) {
  if (!result) raise(env, result.error());
  return std::move(result).value();
}

int32_t integer(const Napi::CallbackInfo& info, size_t index) {
  if (!info[index].IsNumber()) throw Napi::TypeError::New(info.Env(), "argument " + std::to_string(index + 1) + " is not a number");
  return info[index].As<Napi::Number>().Int32Value();
}

std::string text(const Napi::CallbackInfo& info, size_t index) {
  if (!info[index].IsString()) throw Napi::TypeError::New(info.Env(), "argument " + std::to_string(index + 1) + " is not a string");
  auto value = info[index].As<Napi::String>().Utf8Value();
  if (value.find('\0') != std::string::npos) throw Napi::TypeError::New(info.Env(), "argument " + std::to_string(index + 1) + " holds a NUL");
  return value;
}

Napi::Value LoadShim(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), take(info.Env(), loadShim(text(info, 0))).release());
}

// startShim(imageFd, plan: Uint8Array, lockFd, label, cgroupFd, preservedDescriptors) → { pid, controlFd }
Napi::Value StartShim(const Napi::CallbackInfo& info) {
  const auto env = info.Env();
  const int image = integer(info, 0), lock = integer(info, 2), cgroup = integer(info, 4), preserved = integer(info, 5);
  if (preserved < 0 || preserved > 1024) throw Napi::TypeError::New(env, "argument 6 is not from 0 to 1024");
  if (!info[1].IsTypedArray() || info[1].As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array)
    throw Napi::TypeError::New(env, "argument 2 is not a Uint8Array");
  const auto plan = info[1].As<Napi::Uint8Array>();
  const auto label = text(info, 3);
  auto started = take(env, startShim(image, reinterpret_cast<const std::byte*>(plan.Data()), plan.ByteLength(), lock, label, cgroup, preserved));
  auto answer = Napi::Object::New(env);
  answer.Set("pid", Napi::Number::New(env, started.pid));
  answer.Set("controlFd", Napi::Number::New(env, started.control.release()));
  return answer;
}

// lockFile(path) → fd, or null when another process holds it
Napi::Value LockFile(const Napi::CallbackInfo& info) {
  auto lock = take(info.Env(), lockFile(text(info, 0)));
  if (!lock) return info.Env().Null();
  return Napi::Number::New(info.Env(), lock->release());
}

Napi::Value ReapChild(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), take(info.Env(), reapChild(integer(info, 0))));
}

// signalProcess(pid, startTicks: bigint, signal) → false when that process is gone
Napi::Value SignalProcess(const Napi::CallbackInfo& info) {
  if (!info[1].IsBigInt()) throw Napi::TypeError::New(info.Env(), "argument 2 is not a bigint");
  bool lossless = true;
  const uint64_t ticks = info[1].As<Napi::BigInt>().Uint64Value(&lossless);
  return Napi::Boolean::New(info.Env(), take(info.Env(), signalProcess(integer(info, 0), ticks, integer(info, 2))));
}

Napi::Value DetachMount(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), take(info.Env(), detachMount(text(info, 0))));
}

uint32_t member(const Napi::Object& object, const char* name) {
  const auto value = object.Get(name);
  if (!value.IsNumber()) throw Napi::TypeError::New(object.Env(), std::string(name) + " is not a number");
  return value.As<Napi::Number>().Uint32Value();
}

uint64_t wideMember(const Napi::Object& object, const char* name) {
  const auto value = object.Get(name);
  if (!value.IsBigInt()) throw Napi::TypeError::New(object.Env(), std::string(name) + " is not a bigint");
  bool lossless = true;
  return value.As<Napi::BigInt>().Uint64Value(&lossless);
}

template <typename Visit>
void eachMember(const Napi::Object& object, const char* name, Visit visit) {
  const auto value = object.Get(name);
  if (!value.IsArray()) throw Napi::TypeError::New(object.Env(), std::string(name) + " is not an array");
  const auto array = value.As<Napi::Array>();
  for (uint32_t index = 0; index < array.Length(); index++) visit(Napi::Value(array[index]));
}

// compileSeccomp({ defaultAction, architectures, rules: [{ syscall, action, conditions: [{ argument, comparison, value, valueTwo }] }] })
//   → { program: Buffer, unknownSyscalls }
Napi::Value CompileSeccomp(const Napi::CallbackInfo& info) {
  const auto env = info.Env();
  if (!info[0].IsObject()) throw Napi::TypeError::New(env, "argument 1 is not an object");
  const auto given = info[0].As<Napi::Object>();
  SeccompProfile profile{member(given, "defaultAction"), {}, {}};
  eachMember(given, "architectures", [&](Napi::Value name) { profile.architectures.push_back(name.ToString().Utf8Value()); });
  eachMember(given, "rules", [&](Napi::Value value) {
    const auto object = value.ToObject();
    SeccompRule rule{object.Get("syscall").ToString().Utf8Value(), member(object, "action"), {}};
    eachMember(object, "conditions", [&](Napi::Value condition) {
      const auto part = condition.ToObject();
      rule.conditions.push_back({member(part, "argument"), member(part, "comparison"), wideMember(part, "value"), wideMember(part, "valueTwo")});
    });
    profile.rules.push_back(std::move(rule));
  });
  const auto program = take(env, compileSeccomp(profile));
  auto answer = Napi::Object::New(env);
  answer.Set("program", Napi::Buffer<uint8_t>::Copy(env, program.instructions.data(), program.instructions.size()));
  answer.Set("unknownSyscalls", Napi::Number::New(env, program.unknownSyscalls));
  return answer;
}

// OpenSSL's, out of the node executable that we are loaded into.
extern "C" unsigned char* SHA256(const unsigned char* bytes, size_t length, unsigned char* digest);

// exitNow(code): nothing of Node is taken down, which costs more than a short command
Napi::Value ExitNow(const Napi::CallbackInfo& info) { _exit(integer(info, 0)); }

// sha256(bytes: Uint8Array) → Buffer
Napi::Value Sha256(const Napi::CallbackInfo& info) {
  if (!info[0].IsTypedArray() || info[0].As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array)
    throw Napi::TypeError::New(info.Env(), "argument 1 is not a Uint8Array");
  const auto bytes = info[0].As<Napi::Uint8Array>();
  auto digest = Napi::Buffer<uint8_t>::New(info.Env(), 32);
  SHA256(bytes.Data(), bytes.ByteLength(), digest.Data());
  return digest;
}

// seccompFacts() → { libraryVersion, flags }
Napi::Value DescribeSeccomp(const Napi::CallbackInfo& info) {
  const auto facts = seccompFacts();
  auto answer = Napi::Object::New(info.Env());
  answer.Set("libraryVersion", Napi::String::New(info.Env(), facts.libraryVersion));
  answer.Set("flags", Napi::Number::New(info.Env(), facts.flags));
  return answer;
}

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  exports.Set("loadShim", Napi::Function::New(env, LoadShim));
  exports.Set("startShim", Napi::Function::New(env, StartShim));
  exports.Set("lockFile", Napi::Function::New(env, LockFile));
  exports.Set("reapChild", Napi::Function::New(env, ReapChild));
  exports.Set("signalProcess", Napi::Function::New(env, SignalProcess));
  exports.Set("detachMount", Napi::Function::New(env, DetachMount));
  exports.Set("compileSeccomp", Napi::Function::New(env, CompileSeccomp));
  exports.Set("exitNow", Napi::Function::New(env, ExitNow));
  exports.Set("sha256", Napi::Function::New(env, Sha256));
  exports.Set("seccompFacts", Napi::Function::New(env, DescribeSeccomp));
  return exports;
}

}  // namespace
}  // namespace gantry::spawner

static Napi::Object InitAddon(Napi::Env env, Napi::Object exports) { return gantry::spawner::Init(env, exports); }
NODE_API_MODULE(spawner, InitAddon)
