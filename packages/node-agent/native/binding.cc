#include <napi.h>

#include <cstring>

#include "core.h"

namespace {

Napi::Error toJavaScript(Napi::Env env, const gantry::SysError& error) {
  Napi::Error thrown = Napi::Error::New(env, error.stage + " " + error.path + ": " + std::strerror(error.code()));
  thrown.Set("errno", Napi::Number::New(env, error.code()));
  return thrown;
}

std::string text(const Napi::CallbackInfo& info, size_t index) {
  if (!info[index].IsString()) throw Napi::TypeError::New(info.Env(), "a string is expected");
  std::string value = info[index].As<Napi::String>().Utf8Value();
  if (value.find('\0') != std::string::npos) throw Napi::TypeError::New(info.Env(), "a path holds a NUL character");
  return value;
}

Napi::Value readInRoot(const Napi::CallbackInfo& info) {
  const std::string root = text(info, 0);
  const std::string path = text(info, 1);
  if (!info[2].IsNumber()) throw Napi::TypeError::New(info.Env(), "a number is expected");
  const double limit = info[2].As<Napi::Number>().DoubleValue();
  if (!(limit >= 1 && limit <= 16.0 * 1024 * 1024)) throw Napi::RangeError::New(info.Env(), "the limit is out of range");
  auto content = gantry::files::readInRoot(root, path, static_cast<size_t>(limit));
  if (!content) throw toJavaScript(info.Env(), content.error());
  if (!content->present) return info.Env().Null();
  return Napi::Buffer<char>::Copy(info.Env(), content->bytes.data(), content->bytes.size());
}

Napi::Value isOpaque(const Napi::CallbackInfo& info) {
  auto opaque = gantry::files::isOpaque(text(info, 0));
  if (!opaque) throw toJavaScript(info.Env(), opaque.error());
  return Napi::Boolean::New(info.Env(), *opaque);
}

Napi::Object initialize(Napi::Env env, Napi::Object exports) {
  exports.Set("readInRoot", Napi::Function::New(env, readInRoot, "readInRoot"));
  exports.Set("isOpaque", Napi::Function::New(env, isOpaque, "isOpaque"));
  return exports;
}

}  // namespace

NODE_API_MODULE(node_agent, initialize)
