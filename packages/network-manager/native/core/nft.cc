#include "nft.h"

extern "C" {
#include <nftables/libnftables.h>
}

namespace gantry::network {

void NftSession::Free::operator()(nft_ctx* context) const { ::nft_ctx_free(context); }

Result<NftSession> NftSession::open() {
  nft_ctx* context = ::nft_ctx_new(NFT_CTX_DEFAULT);
  if (context == nullptr) return SysError{"nft_ctx_new", ENOMEM, {}, {}};
  ::nft_ctx_buffer_output(context);
  ::nft_ctx_buffer_error(context);
  return NftSession(context);
}

Result<std::string> NftSession::run(const std::string& commands, bool json) {
  // Numbers instead of service and protocol names: what is listed is compared with what was written.
  unsigned flags = NFT_CTX_OUTPUT_NUMERIC_ALL;
  if (json) flags |= NFT_CTX_OUTPUT_JSON;
  ::nft_ctx_output_set_flags(context_.get(), flags);
  errno = 0;
  int answer = ::nft_run_cmd_from_buffer(context_.get(), commands.c_str());
  int number = errno;
  // Reading a buffer also empties it for the next command.
  std::string output = ::nft_ctx_get_output_buffer(context_.get());
  std::string refusal = ::nft_ctx_get_error_buffer(context_.get());
  if (answer == 0) return output;
  while (!refusal.empty() && refusal.back() == '\n') refusal.pop_back();
  return SysError{"nft", number, {}, refusal};
}

}  // namespace gantry::network
