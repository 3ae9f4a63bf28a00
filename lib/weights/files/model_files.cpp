// The files of a model folder, and the index that says which tensor is in which file. An index may be wrong, or may
// name tensors that are not needed: both are reported as warnings, and only a needed tensor that is not found is an
// error.
#include <algorithm>
#include <filesystem>
#include <set>

#include "base/error.hpp"
#include "model/json_object.hpp"
#include "weights/files/safetensors.hpp"

namespace moemill::model {

namespace {

constexpr std::uint64_t max_index_bytes = 256u << 20;

// Files of weights in any format. Empty if the folder cannot be listed.
std::vector<std::string> weight_files(const std::string& dir) {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(dir, error))
    names.push_back(entry.path().filename().string());
  std::erase_if(names, [](const std::string& name) {
    constexpr std::string_view endings[] = {".safetensors", ".bin", ".gguf", ".pt", ".pth"};
    return std::none_of(std::begin(endings), std::end(endings), [&](auto ending) { return name.ends_with(ending); });
  });
  std::sort(names.begin(), names.end());
  return names;
}

[[noreturn]] void refuse_without_weights(const std::string& dir) {
  const std::vector<std::string> files = weight_files(dir);
  const auto part = std::find_if(files.begin(), files.end(), [](const std::string& name) {
    return name.ends_with(".safetensors") && name.find("-of-") != std::string::npos;
  });
  if (part != files.end()) {
    user_error(
        "model folder {}: has parts of the weights ({}), but no model.safetensors.index.json, which says what is in "
        "which part: download it, too",
        dir, *part);
  }
  std::string found;
  for (const std::string& name : files) {
    if (found.size() < 200) found += (found.empty() ? "" : ", ") + name;
  }
  std::string but = found.empty() ? "" : fmt::format(" (found: {})", found);
  user_error(
      "model folder {}: has neither model.safetensors nor model.safetensors.index.json{}. Other formats are not read: "
      "take the safetensors files of the model, or write them with transformers' save_pretrained. To run with random "
      "weights, set model.load_format to dummy",
      dir, but);
}

WeightMap read_index(const std::string& path, const std::string& dir) {
  JsonObject index = JsonObject::read(path, max_index_bytes);
  JsonObject map = index.object("weight_map");
  if (map.json().empty()) index.refuse("weight_map", "an object that names at least one tensor");
  WeightMap entries;
  for (const auto& [tensor, file] : map.json().items()) {
    std::string name = file.is_string() ? file.get<std::string>() : "";
    if (name.empty() || name.find('/') != std::string::npos || name.find('\0') != std::string::npos) {
      map.refuse(tensor, "the name of a file in the model folder");
    }
    entries.emplace(tensor, (std::filesystem::path(dir) / name).string());
  }
  return entries;
}

}  // namespace

std::string first_names(std::vector<std::string> names) {
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  std::size_t shown = std::min<std::size_t>(names.size(), 3);
  std::string text =
      fmt::format("{}", fmt::join(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(shown), ", "));
  return names.size() > shown ? fmt::format("{} and {} more", text, names.size() - shown) : text;
}

ModelFiles::ModelFiles(const std::string& dir) {
  namespace fs = std::filesystem;
  fs::path single = fs::path(dir) / "model.safetensors";
  fs::path index = fs::path(dir) / "model.safetensors.index.json";
  std::error_code error;
  // symlink_status: a link that leads nowhere is reported as such by open(), not as an empty folder.
  if (fs::exists(fs::symlink_status(single, error))) {
    origin_ = single.string();
    open(origin_);
    name_tensors({});
    return;
  }
  if (!fs::exists(fs::symlink_status(index, error))) refuse_without_weights(dir);
  origin_ = index.string();
  const WeightMap weight_map = read_index(origin_, dir);
  std::set<std::string> parts;
  for (const auto& [tensor, path] : weight_map) parts.insert(path);
  for (const std::string& part : parts) {
    if (fs::exists(part, error)) {
      open(part);
    } else {
      missing_parts_.insert(part);
    }
  }
  name_tensors(weight_map);
}

void ModelFiles::open(const std::string& path) {
  MappedFile file(path);
  for (TensorInfo& tensor : parse_safetensors(path, file.bytes(0, file.size()))) {
    tensor.file = static_cast<std::uint32_t>(files_.size());
    tensors_.push_back(std::move(tensor));
  }
  files_.push_back(std::move(file));
}

void ModelFiles::name_tensors(const WeightMap& index) {
  by_name_.reserve(tensors_.size());
  for (std::size_t i = 0; i < tensors_.size(); ++i) {
    auto [known, is_new] = by_name_.emplace(tensors_[i].name, i);
    if (is_new) continue;
    const std::string &first = files_[tensors_[known->second].file].path(), &second = files_[tensors_[i].file].path();
    const auto meant = index.find(tensors_[i].name);
    if (meant == index.end() || (meant->second != first && meant->second != second)) {
      user_error("{}: is in {} as well: which one is meant?", place(tensors_[i]), first);
    }
    if (meant->second == second) known->second = i;
  }
  for (const auto& [tensor, path] : index) {
    const TensorInfo* found = find(tensor);
    if (found == nullptr) {
      not_found_.emplace(tensor, path);
    } else if (files_[found->file].path() != path) {
      misplaced_.push_back(tensor);
    }
  }
}

std::string ModelFiles::why_missing(std::string_view name) const {
  const auto named = not_found_.find(std::string(name));
  if (named == not_found_.end()) return "";
  if (missing_parts_.contains(named->second)) {
    return fmt::format("it is in {}, which is not there: download it again", named->second);
  }
  return fmt::format("the index says that it is in {}, but it is in no part: download both again", named->second);
}

std::vector<std::string> ModelFiles::index_faults() const {
  std::vector<std::string> lines, nowhere;
  for (const std::string& part : missing_parts_) {
    const auto count =
        std::count_if(not_found_.begin(), not_found_.end(), [&](const auto& p) { return p.second == part; });
    lines.push_back(
        fmt::format("{} is named by the index but is not there; none of its {} tensors is needed", part, count));
  }
  for (const auto& [tensor, path] : not_found_) {
    if (!missing_parts_.contains(path)) nowhere.push_back(tensor);
  }
  if (!nowhere.empty()) {
    lines.push_back(fmt::format("{}: {} tensors that it names are in no part; none is needed: {}", origin_,
                                nowhere.size(), first_names(nowhere)));
  }
  if (!misplaced_.empty()) {
    lines.push_back(fmt::format("{}: {} tensors are in another part than it says, and are taken from there: {}",
                                origin_, misplaced_.size(), first_names(misplaced_)));
  }
  return lines;
}

const TensorInfo* ModelFiles::find(std::string_view name) const {
  auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : &tensors_[found->second];
}

std::string ModelFiles::place(const TensorInfo& tensor) const {
  return fmt::format("{}: tensor {}", files_[tensor.file].path(), tensor.name);
}

std::span<const std::byte> ModelFiles::bytes(const TensorInfo& tensor) const {
  return files_[tensor.file].bytes(tensor.offset, tensor.length);
}

}  // namespace moemill::model
