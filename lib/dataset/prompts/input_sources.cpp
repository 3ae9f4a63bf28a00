#include "dataset/prompts/input_sources.hpp"

namespace moemill::dataset {

void InputSources::check(hid_t group, const ColumnPlace& place, const std::function<bool(const std::string&)>& counts,
                         const std::function<bool(const std::string&)>& is_data) {
  auto look = [&](hid_t parent, const std::string& name, const std::string& path, h5::UnmappedRows unmapped) {
    const std::string where = ColumnPlace{place.file, place.group, path}.text();
    h5::refuse_dangling(parent, name, where);
    if (h5::exists(parent, name) && h5::object_kind(parent, name) == H5I_DATASET)
      check_dataset(h5::open_dataset(parent, name), where, unmapped);
  };
  for (const std::string& name : h5::child_names(group)) {
    if (!counts(name)) continue;
    const auto unmapped = is_data(name) ? h5::UnmappedRows::MayBeFilled : h5::UnmappedRows::Refused;
    look(group, name, name, unmapped);
    if (h5::object_kind(group, name) != H5I_GROUP) continue;
    const h5::Handle packed = h5::open_group(group, name);
    for (const char* member : {"values", "offsets"}) look(packed, member, name + "/" + member, unmapped);
  }
}

void InputSources::check_dataset(hid_t dataset, const std::string& place, h5::UnmappedRows unmapped) {
  const h5::SourceFiles::Chunks chunks = files_.check(dataset, place, unmapped);
  if (chunks.largest_bytes <= h5::most_cached_bytes) return;
  warnings_.push_back(
      fmt::format("{}: is stored in chunks of {} MiB, which is more than a rank keeps in memory: it unpacks one again "
                  "for every block of rows that it reads, which is slow; write it with smaller ones, such as "
                  "chunks=(1024, ...)",
                  place, chunks.largest_bytes >> 20));
}

}  // namespace moemill::dataset
