// nftables commands run inside this process through libnftables.
#pragma once

#include <memory>
#include <string>

#include "system.h"

struct nft_ctx;

namespace gantry::network {

// One libnftables context. Not for several threads: all calls come from the thread that opened it.
class NftSession {
 public:
  static Result<NftSession> open();
  // Runs commands as one transaction and answers what they print. `json` asks for JSON output.
  Result<std::string> run(const std::string& commands, bool json);

 private:
  struct Free {
    void operator()(nft_ctx* context) const;
  };
  explicit NftSession(nft_ctx* context) : context_(context) {}
  std::unique_ptr<nft_ctx, Free> context_;
};

}  // namespace gantry::network
