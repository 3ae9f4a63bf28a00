#include "dataset/prompts/input_file.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <iterator>
#include <string_view>

#include "base/error.hpp"
#include "base/readable.hpp"
#include "system/files/h5_sources.hpp"

namespace moemill::dataset {
namespace {

bool is_other_form(std::string_view path) {
  constexpr std::string_view endings[] = {".jsonl", ".json", ".ndjson", ".csv", ".tsv", ".parquet",
                                          ".arrow", ".txt",  ".zst",    ".gz",  ".bz2", ".xz"};
  return std::any_of(std::begin(endings), std::end(endings),
                     [&](std::string_view ending) { return path.ends_with(ending); });
}

}  // namespace

h5::Handle open_input(const std::string& path) {
  h5::be_quiet();
  if (path.empty()) user_error("input.path is empty: name a prompts.h5 (input.path, or --input)");
  if (const auto why = why_unreadable(path)) user_error("{}: {} (input.path)", path, *why);
  if (H5Fis_hdf5(path.c_str()) <= 0) {
    H5Eclear2(H5E_DEFAULT);
    if (is_other_form(path))
      user_error(
          "{0}: is not HDF5 (input.path): scripts/prompts.py {0} -o {1} makes it so, chats rendered for the model with "
          "--model DIR; then -i {1}",
          path, path.substr(0, path.find_last_of('.')) + ".h5");
    user_error(
        "{}: is not an HDF5 file, or not a whole one (input.path): write it with h5py, f[\"prompt\"] = list_of_str",
        path);
  }
  return h5::open_file(path);
}

h5::Handle open_input_group(hid_t file, const std::string& path, const std::string& group) {
  if (group != "/" && !group.empty()) h5::refuse_dangling(file, group, fmt::format("{}: group '{}'", path, group));
  bool there = group == "/" || (!group.empty() && h5::exists(file, group));
  if (!there || h5::object_kind(file, group) != H5I_GROUP) {
    user_error("{}: has no group '{}' (input.group); at its root are: {}", path, group,
               fmt::join(h5::child_names(h5::open_group(file, "/")), ", "));
  }
  return h5::open_group(file, group);
}

}  // namespace moemill::dataset
