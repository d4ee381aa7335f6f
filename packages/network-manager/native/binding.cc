// The edge to JavaScript: one plain object in, one plain value out, promises settled from native threads.
// Validation and defaults live in TypeScript (src/kernel.ts), which is the only caller.
#include <arpa/inet.h>
#include <napi.h>

#include <cstring>
#include <functional>
#include <memory>
#include <optional>

#include "core/conntrack.h"
#include "core/kernel_thread.h"
#include "core/nft.h"
#include "core/ports.h"
#include "core/sandbox.h"

namespace gantry::network {
namespace {

// A thread that keeps its host namespace and its route socket open from its first job on.
struct HostWorker {
  explicit HostWorker(const char* name) : thread(name) {}
  std::optional<Host> host;
  KernelThread thread;

  Result<Host*> open() {
    if (!host) {
      auto opened = Host::open();
      if (!opened.ok()) return opened.error();
      host.emplace(std::move(opened.value()));
    }
    return &*host;
  }
};

struct NftWorker {
  NftWorker() : thread("gantry-nft") {}
  std::optional<NftSession> session;
  KernelThread thread;
};

Napi::Error to_js_error(Napi::Env env, const SysError& error) {
  const char* name = ::strerrorname_np(error.number);
  std::string message = error.stage + ": " + (error.detail.empty() ? std::string(::strerror(error.number)) : error.detail);
  if (!error.path.empty()) message += " (" + error.path + ")";
  Napi::Error js = Napi::Error::New(env, message);
  js.Set("stage", error.stage);
  js.Set("code", name == nullptr ? "EUNKNOWN" : name);
  js.Set("path", error.path);
  return js;
}

std::string text(const Napi::Object& object, const char* key) { return object.Get(key).As<Napi::String>().Utf8Value(); }
uint32_t number(const Napi::Object& object, const char* key) { return object.Get(key).As<Napi::Number>().Uint32Value(); }

void read_mac(const Napi::Object& object, uint8_t (&mac)[6]) {
  auto bytes = object.Get("mac").As<Napi::Uint8Array>();
  if (bytes.ByteLength() != sizeof mac) throw Napi::TypeError::New(object.Env(), "mac must be 6 bytes");
  std::memcpy(mac, bytes.Data(), sizeof mac);
}

std::vector<Sysctl> read_sysctls(const Napi::Array& list) {
  std::vector<Sysctl> sysctls;
  for (uint32_t i = 0; i < list.Length(); i++) {
    auto entry = list.Get(i).As<Napi::Object>();
    sysctls.emplace_back(text(entry, "path"), text(entry, "value"));
  }
  return sysctls;
}

Napi::Value to_js_links(Napi::Env env, std::vector<Link>& links) {
  auto list = Napi::Array::New(env, links.size());
  for (uint32_t i = 0; i < links.size(); i++) {
    const Link& link = links[i];
    auto object = Napi::Object::New(env);
    object.Set("index", link.index);
    object.Set("name", link.name);
    object.Set("kind", link.kind);
    object.Set("master", link.master);
    object.Set("mac", Napi::Buffer<uint8_t>::Copy(env, link.mac, sizeof link.mac));
    object.Set("up", link.up);
    object.Set("mtu", link.mtu);
    object.Set("rxBytes", static_cast<double>(link.rx_bytes));
    object.Set("rxPackets", static_cast<double>(link.rx_packets));
    object.Set("rxErrors", static_cast<double>(link.rx_errors));
    object.Set("rxDropped", static_cast<double>(link.rx_dropped));
    object.Set("txBytes", static_cast<double>(link.tx_bytes));
    object.Set("txPackets", static_cast<double>(link.tx_packets));
    object.Set("txErrors", static_cast<double>(link.tx_errors));
    object.Set("txDropped", static_cast<double>(link.tx_dropped));
    list.Set(i, object);
  }
  return list;
}

class NetworkAddon : public Napi::Addon<NetworkAddon> {
 public:
  NetworkAddon(Napi::Env env, Napi::Object exports) {
    DefineAddon(exports, {
                             InstanceMethod("makeSandbox", &NetworkAddon::MakeSandbox),
                             InstanceMethod("destroySandboxes", &NetworkAddon::DestroySandboxes),
                             InstanceMethod("deleteLinks", &NetworkAddon::DeleteLinks),
                             InstanceMethod("attachLinks", &NetworkAddon::AttachLinks),
                             InstanceMethod("setHairpin", &NetworkAddon::SetHairpin),
                             InstanceMethod("ensureBridge", &NetworkAddon::EnsureBridge),
                             InstanceMethod("listLinks", &NetworkAddon::ListLinks),
                             InstanceMethod("listLinksInside", &NetworkAddon::ListLinksInside),
                             InstanceMethod("writeSysctls", &NetworkAddon::WriteSysctls),
                             InstanceMethod("shareDirectory", &NetworkAddon::ShareDirectory),
                             InstanceMethod("releaseDirectory", &NetworkAddon::ReleaseDirectory),
                             InstanceMethod("cutConnections", &NetworkAddon::CutConnections),
                             InstanceMethod("runNft", &NetworkAddon::RunNft),
                             InstanceMethod("probePort", &NetworkAddon::ProbePort),
                         });
    settle_ = Settle::New(env, "gantry-network", 0, 1, this);
    settle_.Unref(env);
    // Hooks run in the reverse order of their making: the threads end before the function they settle through, which
    // Node.js itself closes. When this object is destroyed that function is gone already.
    env.AddCleanupHook([this] {
      maker_.reset();
      reaper_.reset();
      quick_.reset();
      nft_.reset();
    });
  }

 private:
  using Completion = std::function<void(Napi::Env)>;
  static void Complete(Napi::Env env, Napi::Function, NetworkAddon* addon, Completion* raw) {
    std::unique_ptr<Completion> completion(raw);
    if (env == nullptr) return;
    if (--addon->pending_ == 0) addon->settle_.Unref(env);
    Napi::HandleScope scope(env);
    (*completion)(env);
  }
  using Settle = Napi::TypedThreadSafeFunction<NetworkAddon, Completion, &NetworkAddon::Complete>;

  // Runs `job` on the thread and settles the promise with what it answers, made a JavaScript value by `convert`.
  template <typename T>
  Napi::Value Submit(Napi::Env env, KernelThread& thread, std::function<Result<T>()> job,
                     std::function<Napi::Value(Napi::Env, T&)> convert) {
    auto deferred = std::make_shared<Napi::Promise::Deferred>(env);
    if (pending_++ == 0) settle_.Ref(env);
    thread.post([this, deferred, job = std::move(job), convert = std::move(convert)]() mutable {
      auto answer = std::make_shared<Result<T>>(job());
      auto* completion = new Completion([deferred, answer, convert = std::move(convert)](Napi::Env settled) {
        if (answer->ok()) {
          deferred->Resolve(convert(settled, answer->value()));
        } else {
          deferred->Reject(to_js_error(settled, answer->error()).Value());
        }
      });
      if (settle_.NonBlockingCall(completion) != napi_ok) delete completion;
    });
    return deferred->Promise();
  }

  template <typename T>
  Napi::Value SubmitHost(Napi::Env env, std::unique_ptr<HostWorker>& worker, const char* name, std::function<Result<T>(Host&)> job,
                         std::function<Napi::Value(Napi::Env, T&)> convert) {
    if (!worker) worker = std::make_unique<HostWorker>(name);
    HostWorker* chosen = worker.get();
    return Submit<T>(
        env, chosen->thread,
        [chosen, job = std::move(job)]() -> Result<T> {
          auto host = chosen->open();
          if (!host.ok()) return host.error();
          return job(*host.value());
        },
        std::move(convert));
  }

  static Napi::Value Nothing(Napi::Env env, Done&) { return env.Null(); }

  Napi::Value MakeSandbox(const Napi::CallbackInfo& info) {
    auto object = info[0].As<Napi::Object>();
    SandboxRequest request;
    request.directory = text(object, "directory");
    request.namespaces.own_user_namespace = object.Get("ownUserNamespace").As<Napi::Boolean>();
    request.namespaces.own_net_namespace = object.Get("ownNetNamespace").As<Napi::Boolean>();
    request.namespaces.id_base = number(object, "idBase");
    request.namespaces.id_count = number(object, "idCount");
    request.sysctls = read_sysctls(object.Get("sysctls").As<Napi::Array>());
    if (!object.Get("interface").IsNull()) {
      auto inner = object.Get("interface").As<Napi::Object>();
      Interface interface;
      interface.veth.host_name = text(inner, "hostName");
      interface.veth.bridge_index = static_cast<int>(number(inner, "bridgeIndex"));
      read_mac(inner, interface.veth.mac);
      interface.inner.address = htonl(number(inner, "address"));
      interface.inner.prefix_length = static_cast<uint8_t>(number(inner, "prefixLength"));
      interface.inner.gateway = htonl(number(inner, "gateway"));
      request.interface = std::move(interface);
    }
    return SubmitHost<SandboxHandles>(
        info.Env(), maker_, "gantry-net-make", [request](Host& host) { return make_sandbox(host, request); },
        [](Napi::Env env, SandboxHandles& handles) -> Napi::Value {
          auto answer = Napi::Object::New(env);
          answer.Set("userDevice", static_cast<double>(handles.user_device));
          answer.Set("userInode", static_cast<double>(handles.user_inode));
          answer.Set("netDevice", static_cast<double>(handles.net_device));
          answer.Set("netInode", static_cast<double>(handles.net_inode));
          return answer;
        });
  }

  Napi::Value DestroySandboxes(const Napi::CallbackInfo& info) {
    auto list = info[0].As<Napi::Array>();
    uint32_t group = info[1].As<Napi::Number>().Uint32Value();
    std::vector<Doomed> doomed;
    for (uint32_t i = 0; i < list.Length(); i++) {
      auto entry = list.Get(i).As<Napi::Object>();
      doomed.push_back({text(entry, "directory"), text(entry, "hostInterface")});
    }
    return SubmitHost<Done>(
        info.Env(), reaper_, "gantry-net-reap", [doomed, group](Host& host) { return destroy_sandboxes(host, doomed, group); }, Nothing);
  }

  static std::vector<std::string> ReadNames(const Napi::Value& value) {
    auto list = value.As<Napi::Array>();
    std::vector<std::string> names;
    for (uint32_t i = 0; i < list.Length(); i++) names.push_back(list.Get(i).As<Napi::String>().Utf8Value());
    return names;
  }

  Napi::Value DeleteLinks(const Napi::CallbackInfo& info) {
    auto names = ReadNames(info[0]);
    uint32_t group = info[1].As<Napi::Number>().Uint32Value();
    return SubmitHost<Done>(
        info.Env(), reaper_, "gantry-net-reap", [names, group](Host& host) { return delete_links_together(host.links(), names, group); },
        Nothing);
  }

  Napi::Value AttachLinks(const Napi::CallbackInfo& info) {
    auto names = ReadNames(info[0]);
    int bridge = info[1].As<Napi::Number>().Int32Value();
    return SubmitHost<Done>(
        info.Env(), quick_, "gantry-net", [names, bridge](Host& host) { return attach_links(host.links(), names, bridge); }, Nothing);
  }

  Napi::Value SetHairpin(const Napi::CallbackInfo& info) {
    auto names = ReadNames(info[0]);
    return SubmitHost<Done>(
        info.Env(), quick_, "gantry-net", [names](Host& host) { return set_hairpin(host.links(), names); }, Nothing);
  }

  Napi::Value EnsureBridge(const Napi::CallbackInfo& info) {
    auto object = info[0].As<Napi::Object>();
    BridgeRequest request;
    request.name = text(object, "name");
    request.address = htonl(number(object, "address"));
    request.prefix_length = static_cast<uint8_t>(number(object, "prefixLength"));
    read_mac(object, request.mac);
    return SubmitHost<int>(
        info.Env(), quick_, "gantry-net", [request](Host& host) { return ensure_bridge(host.links(), request); },
        [](Napi::Env env, int& index) -> Napi::Value { return Napi::Number::New(env, index); });
  }

  Napi::Value ListLinks(const Napi::CallbackInfo& info) {
    return SubmitHost<std::vector<Link>>(
        info.Env(), quick_, "gantry-net", [](Host& host) { return list_links(host.links()); }, to_js_links);
  }

  Napi::Value ListLinksInside(const Napi::CallbackInfo& info) {
    std::string path = info[0].As<Napi::String>();
    return SubmitHost<std::vector<Link>>(
        info.Env(), quick_, "gantry-net", [path](Host& host) { return list_links_inside(host, path); }, to_js_links);
  }

  Napi::Value WriteSysctls(const Napi::CallbackInfo& info) {
    std::string path = info[0].As<Napi::String>();
    auto sysctls = read_sysctls(info[1].As<Napi::Array>());
    return SubmitHost<Done>(
        info.Env(), quick_, "gantry-net", [path, sysctls](Host& host) { return write_sysctls(host, path, sysctls); }, Nothing);
  }

  Napi::Value ShareDirectory(const Napi::CallbackInfo& info) {
    std::string path = info[0].As<Napi::String>();
    return SubmitHost<Done>(
        info.Env(), quick_, "gantry-net", [path](Host&) { return share_directory(path); }, Nothing);
  }

  Napi::Value ReleaseDirectory(const Napi::CallbackInfo& info) {
    std::string path = info[0].As<Napi::String>();
    return SubmitHost<Done>(
        info.Env(), quick_, "gantry-net", [path](Host&) { return release_directory(path); }, Nothing);
  }

  Napi::Value CutConnections(const Napi::CallbackInfo& info) {
    uint32_t address = htonl(info[0].As<Napi::Number>().Uint32Value());
    return SubmitHost<Done>(
        info.Env(), reaper_, "gantry-net-reap", [address](Host&) { return cut_connections(address); }, Nothing);
  }

  Napi::Value RunNft(const Napi::CallbackInfo& info) {
    std::string commands = info[0].As<Napi::String>();
    bool json = info[1].As<Napi::Boolean>();
    if (!nft_) nft_ = std::make_unique<NftWorker>();
    NftWorker* worker = nft_.get();
    return Submit<std::string>(
        info.Env(), worker->thread,
        [worker, commands, json]() -> Result<std::string> {
          if (!worker->session) {
            auto opened = NftSession::open();
            if (!opened.ok()) return opened.error();
            worker->session.emplace(std::move(opened.value()));
          }
          return worker->session->run(commands, json);
        },
        [](Napi::Env env, std::string& output) -> Napi::Value { return Napi::String::New(env, output); });
  }

  // Answers null when the port is free, else the name of the errno. Two system calls that never wait.
  Napi::Value ProbePort(const Napi::CallbackInfo& info) {
    auto probed = probe_port(info[0].As<Napi::Boolean>(), htonl(info[1].As<Napi::Number>().Uint32Value()),
                             static_cast<uint16_t>(info[2].As<Napi::Number>().Uint32Value()));
    if (probed.ok()) return info.Env().Null();
    const char* name = ::strerrorname_np(probed.error().number);
    return Napi::String::New(info.Env(), name == nullptr ? "EUNKNOWN" : name);
  }

  Settle settle_;
  size_t pending_ = 0;
  // Makes sandboxes: a start that finds the pool empty waits for this thread.
  std::unique_ptr<HostWorker> maker_;
  // Destroys them: the kernel lets it wait for milliseconds.
  std::unique_ptr<HostWorker> reaper_;
  // Everything short.
  std::unique_ptr<HostWorker> quick_;
  std::unique_ptr<NftWorker> nft_;
};

NODE_API_ADDON(NetworkAddon)

}  // namespace
}  // namespace gantry::network
