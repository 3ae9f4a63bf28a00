#include <algorithm>
#include <set>

#include "base/error.hpp"
#include "dataset/outputs/outputs.hpp"
#include "dataset/seal.hpp"
#include "system/files/files.hpp"

namespace moemill::dataset {
namespace {

constexpr std::uint64_t most_rows_at_once = 4096;
constexpr std::uint64_t most_block_values = 4u << 20;

// The number of rows that make a block; `ends` is offsets[first ..].
std::uint64_t rows_within(const std::vector<std::uint64_t>& ends, std::uint64_t most_rows) {
  std::uint64_t rows = 1;
  while (rows < most_rows && ends[rows + 1] - ends[0] <= most_block_values) rows++;
  return rows;
}

// Reports a file as damaged only if the system can read it to its end: missing permissions, too few descriptors or a
// broken disk are no reason to remove a file.
h5::Handle open_finished(const std::string& path) {
  files::open_to_read(path).close(path);
  std::string refusal, faults;
  try {
    h5::Handle file = h5::open_file(path);
    faults = fmt::format("{}", fmt::join(check_form(file), "; "));
    if (faults.empty()) return file;
  } catch (const std::runtime_error& error) {
    refusal = error.what();
  }
  const auto broken = broken_seal(path, [] {});
  if (!broken && faults.empty()) system_error("{}: cannot be opened: {}", path, refusal);
  fail_as_damaged(path, faults.empty() ? refusal : faults);
}

OutputLayout layout_in(hid_t file) {
  OutputLayout layout;
  layout.logprobs.reset();
  for_each_ragged([&](const auto& field) {
    const std::string name = in_completions(field.values);
    const bool stored = h5::exists(file, name);
    if (field.flag) {
      layout.*field.flag = stored;
    } else if (stored) {
      const bool k = field.per_unit == PerUnit::K;
      layout.logprobs = k ? static_cast<std::uint32_t>(h5::shape(h5::open_dataset(file, name))[1]) : 0;
    }
  });
  for_each_field(prompt_fields, [&](const auto& field) { layout.*field.flag = h5::exists(file, field.group); });
  const h5::Handle id_type = h5::type_of(h5::open_dataset(file, "completions/id"));
  layout.ids = H5Tget_class(id_type) == H5T_STRING ? IdKind::Text : IdKind::Integer;
  return layout;
}

}  // namespace

OutputReader::OutputReader(const std::string& path)
    : path_(path), file_(open_finished(path)), layout_(layout_in(file_)) {
  auto rows = [&](const std::string& name) { return h5::shape(h5::open_dataset(file_, name))[0]; };
  rows_ = rows("completions/prompt_index");
  errors_ = rows("errors/prompt_index");
}

std::uint64_t OutputReader::entries(const std::string& group) const {
  return h5::shape(h5::open_dataset(file_, group + "/offsets"))[0] - 1;
}

void OutputReader::read_column(const std::string& name, hid_t type, std::uint64_t first, std::uint64_t count,
                               void* values) const {
  h5::Handle dataset = h5::open_dataset(file_, name);
  h5::read_rows(dataset, type, first, count, values, path_ + ": dataset '/" + name + "'");
}

std::vector<std::string> OutputReader::text_column(const std::string& name, std::uint64_t first,
                                                   std::uint64_t count) const {
  std::string what = path_ + ": dataset '/" + name + "'";
  h5::Handle type = h5::text_type();
  hsize_t extent = count;
  h5::Handle space = h5::own(H5Screate_simple(1, &extent, nullptr), what);
  std::vector<char*> values(count);
  read_column(name, type, first, count, values.data());
  std::vector<std::string> texts(count);
  for (std::uint64_t i = 0; i < count; i++) texts[i] = values[i] ? values[i] : "";
  if (count > 0) h5::check(H5Dvlen_reclaim(type, space, H5P_DEFAULT, values.data()), what);
  return texts;
}

std::vector<std::uint64_t> OutputReader::lengths_of(const std::vector<std::uint64_t>& ends) {
  std::vector<std::uint64_t> lengths(ends.size() - 1);
  for (std::size_t i = 0; i < lengths.size(); i++) lengths[i] = ends[i + 1] - ends[i];
  return lengths;
}

// offsets[first .. first+count], checked to ascend.
std::vector<std::uint64_t> OutputReader::offsets(const std::string& name, std::uint64_t first,
                                                 std::uint64_t count) const {
  auto ends = column<std::uint64_t>(name + "/offsets", first, count + 1);
  auto falls = std::is_sorted_until(ends.begin(), ends.end());
  std::uint64_t values = ends.back();
  if (h5::exists(file_, name + "/values")) values = h5::shape(h5::open_dataset(file_, name + "/values"))[0];
  if (falls != ends.end() || ends.back() > values || (first == 0 && ends[0] != 0)) {
    system_error("{}: dataset '/{}/offsets': from row {} on does not ascend from 0 to the {} values", path_, name,
                 first + static_cast<std::uint64_t>(falls - ends.begin()) % (count + 1), values);
  }
  return ends;
}

std::vector<Completion> OutputReader::read_numbers(std::uint64_t first, std::uint64_t count) const {
  std::vector<Completion> rows(count);
  for_each_scalar([&]<class T>(const ScalarField<T>& field) {
    const auto values = column<typename ScalarField<T>::Stored>(in_completions(field.name), first, count);
    for (std::size_t i = 0; i < rows.size(); i++) rows[i].*field.member = static_cast<T>(values[i]);
  });
  return rows;
}

void OutputReader::read_ids(const std::string& name, std::vector<Completion>& rows, std::uint64_t first) const {
  if (layout_.ids == IdKind::Text) {
    std::vector<std::string> ids = text_column(name, first, rows.size());
    for (std::size_t i = 0; i < rows.size(); i++) rows[i].id = std::move(ids[i]);
  } else {
    const auto ids = column<std::int64_t>(name, first, rows.size());
    for (std::size_t i = 0; i < rows.size(); i++) rows[i].id = ids[i];
  }
}

std::vector<Completion> OutputReader::read(std::uint64_t first, std::uint64_t count) const {
  std::vector<Completion> rows = read_numbers(first, count);
  read_ids("completions/id", rows, first);
  std::map<std::string, std::vector<std::uint64_t>> all_ends;  // [rows + 1], by the group of the offsets
  for_each_ragged([&]<class Values>(const RaggedField<Values>& field) {
    const std::uint64_t width = field.width(layout_);
    if (width == 0) return;
    std::vector<std::uint64_t>& ends = all_ends[field.lengths];
    if (ends.empty()) ends = offsets(in_completions(field.lengths), first, count);
    const auto values =
        column<typename Values::value_type>(in_completions(field.values), ends[0], ends.back() - ends[0], width);
    auto at = [&](std::uint64_t end) { return values.begin() + static_cast<std::ptrdiff_t>((end - ends[0]) * width); };
    for (std::size_t i = 0; i < rows.size(); i++) (rows[i].*field.member).assign(at(ends[i]), at(ends[i + 1]));
  });
  return rows;
}

ErrorBlock OutputReader::read_errors(std::uint64_t first, std::uint64_t count) const {
  return {read_error_prompts(first, count), column<std::uint32_t>("errors/sample_index", first, count),
          text_column("errors/code", first, count), text_column("errors/message", first, count)};
}

std::vector<std::uint64_t> OutputReader::read_prompts(std::uint64_t first, std::uint64_t count) const {
  return column<std::uint64_t>("completions/prompt_index", first, count);
}

std::vector<std::uint64_t> OutputReader::read_error_prompts(std::uint64_t first, std::uint64_t count) const {
  return column<std::uint64_t>("errors/prompt_index", first, count);
}

std::vector<std::uint8_t> OutputReader::read_status(std::uint64_t first, std::uint64_t count) const {
  return column<std::uint8_t>("completions/status", first, count);
}

std::uint64_t OutputReader::block_end(std::uint64_t first) const {
  std::uint64_t rows = std::min(rows_ - first, most_rows_at_once);
  if (rows == 0) return first;
  std::set<std::string> lengths;
  for_each_ragged([&](const auto& field) {
    if (field.width(layout_) > 0 && lengths.insert(field.lengths).second)
      rows = rows_within(offsets(in_completions(field.lengths), first, rows), rows);
  });
  return first + rows;
}

std::uint64_t OutputReader::block_end(const std::string& lengths, std::uint64_t first, std::uint64_t rows) const {
  const std::uint64_t most = std::min(rows - first, most_rows_at_once);
  return most == 0 ? first : first + rows_within(offsets(lengths, first, most), most);
}

std::vector<std::string> OutputReader::carried_names() const { return h5::child_names(h5::open_group(file_, "carry")); }

h5::Handle OutputReader::open_carried(const std::string& name) const {
  return h5::open_dataset(file_, "carry/" + name);
}

std::string OutputReader::text_attribute(const std::string& name) const { return h5::read_text_attribute(file_, name); }

std::int64_t OutputReader::number_attribute(const std::string& name) const {
  return h5::read_number_attribute(file_, name);
}

}  // namespace moemill::dataset
