// Why a file that a user named cannot be read, in words for this user. Used by every part that reads such a file:
// run.yaml, prompts.h5, the files of a model folder.
#pragma once

#include <optional>
#include <string>

namespace moemill {

// It is not there, a link that leads nowhere, a folder, a pipe, or what the system says. Nothing where it can be read.
// No pipe is opened: its other end would notice.
std::optional<std::string> why_unreadable(const std::string& path);
// Whether anything has this name, also what cannot be reached: a link that leads nowhere, a file in a closed folder.
// Whoever goes on to read it says why that cannot be done, instead of doing without the file.
bool is_named(const std::string& path);
// The text of an errno, with the cure where too many files are open.
std::string reason_of(int error);

}  // namespace moemill
