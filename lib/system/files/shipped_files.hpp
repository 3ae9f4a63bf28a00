// The shapes of published models and the bench's model ship with the program. Used by bench, validate and plan, so that
// their names, as README and help have them, work from any folder.
#pragma once

#include <string>

namespace moemill {

// Resolves a relative path that does not exist in the current folder against the program's own: share/moemill of an
// installed tree, or the checkout it was built in. Returns the path unchanged if neither has it.
std::string shipped_path(const std::string& path);

// A model's folder by its path, which shipped_path resolves, or by its name in the folder `models`. Returns a word that
// is neither unchanged.
std::string model_folder(const std::string& word, const std::string& models);
// The same with configs/models, whose folders have shapes alone.
std::string shipped_model(const std::string& word);

}  // namespace moemill
