// The file that input.path names and the group of its columns, opened with messages that help. Used by PromptFile only.
#pragma once

#include <string>

#include "system/files/h5.hpp"

namespace moemill::dataset {

// UserError when the file does not exist or is not HDF5; for a format that scripts/prompts.py reads the message says
// so.
h5::Handle open_input(const std::string& path);
h5::Handle open_input_group(hid_t file, const std::string& path, const std::string& group);

}  // namespace moemill::dataset
