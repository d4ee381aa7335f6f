#pragma once

#include <gantry/unique_fd.h>

#include <string>
#include <vector>

namespace gantry::image {

// Gives directories that a layer's tar left out the owner, mode, times and attributes that they have in the layers below (top
// layer first), as if the tar had been unpacked over them. Overlay would else show what we made up. Throws Failure.
void inheritDirectories(const UniqueFd& layer, const std::vector<UniqueFd>& lowers, const std::vector<std::string>& paths);

}  // namespace gantry::image
