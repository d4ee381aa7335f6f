#pragma once

#include <string>

namespace gantry::image {

// Removes `name` below the directory, whatever it is and however deep; links are removed, never followed. A name that is not
// there is fine. Throws Failure.
void removeTree(int directoryFd, const std::string& name);

}  // namespace gantry::image
