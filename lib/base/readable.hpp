// Files that a user named: their text, or a message for the user about why they cannot be read. Used by every part that
// reads such a file: run.yaml, prompts.h5, the files of a model folder.
#pragma once

#include <optional>
#include <string>

namespace moemill {

// The reason: absent, a dangling link, a folder, a pipe, or the system's error. Nothing if the file can be read. Does
// not open a pipe, because its writer would notice.
std::optional<std::string> why_unreadable(const std::string& path);
// The contents of a file or of a pipe; UserError if it cannot be read.
std::string read_text_file(const std::string& path);
// Whether anything has this name, including a dangling link or a file in an unreadable folder. The reader then reports
// why such a file cannot be read, instead of treating it as absent.
bool is_named(const std::string& path);
// The text of an errno, with a cure if too many files are open.
std::string reason_of(int error);

}  // namespace moemill
