#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "base/build_info.hpp"
#include "base/error.hpp"
#include "dataset/carry.hpp"
#include "dataset/outputs/outputs.hpp"
#include "dataset/seal.hpp"
#include "system/files/files.hpp"

namespace moemill::dataset {
namespace {

// Chunks of 4 to 64 KiB: small enough that a short run's file stays small without compression, and well below HDF5's
// cache of 1 MiB per dataset, so that rows appended in small blocks are compressed once.
constexpr std::uint64_t row_chunk = 4096;
constexpr std::uint64_t ragged_chunk_bytes = 65536;
constexpr std::uint64_t error_chunk = 256;
constexpr std::uint64_t one_dimensional = std::numeric_limits<std::uint64_t>::max();  // width of a plain column

// Rows of a chunk of a dataset that will have `count` rows.
std::uint64_t fitted(std::uint64_t chunk, std::uint64_t count) { return std::clamp<std::uint64_t>(count, 1, chunk); }

template <class T>
std::uint64_t ragged_chunk(std::uint64_t width, std::uint64_t count) {
  return fitted(std::max<std::uint64_t>(1, ragged_chunk_bytes / sizeof(T) / width), count);
}

void write_root_attributes(hid_t file, const RootAttributes& attributes) {
  h5::write_attribute(file, "format", std::string("moemill-outputs"));
  h5::write_attribute(file, "format_version", outputs_format_version);
  h5::write_attribute(file, "moemill_version", std::string(build_info::version()));
  h5::write_attribute(file, "git_commit", std::string(build_info::git_commit()));
  h5::write_attribute(file, "world_size", attributes.world_size);
  for (const RootField& field : root_fields) h5::write_attribute(file, field.name, attributes.*field.member);
}

// Writes names[code] as attributes, as a list and as one line, for readers without documentation.
enum class Numbered { No, Yes };
void write_code_names(hid_t dataset, std::span<const std::string_view> names, Numbered numbered) {
  std::string line;
  for (std::size_t i = 0; i < names.size(); i++)
    line += (i > 0 ? ", " : "") + (numbered == Numbered::Yes ? std::to_string(i) + " " : "") + std::string(names[i]);
  h5::write_attribute(dataset, "codes", line);
  h5::write_attribute(dataset, "names", std::vector<std::string>(names.begin(), names.end()));
}

}  // namespace

OutputLayout layout_of(const RunConfig& config, const PromptFile& prompts) {
  OutputLayout layout;
  layout.text = config.output.store_text;
  layout.token_ids = config.output.store_token_ids;
  layout.logprobs = prompts.most_logprobs(config.sampling.logprobs);
  layout.prompt_logprobs = config.sampling.prompt_logprobs;
  layout.prompt_token_ids = config.output.store_prompt_token_ids;
  layout.stop_reason = config.output.store_stop_reason;
  layout.gzip_level = config.output.gzip_level;
  layout.ids = prompts.has_text_ids() ? IdKind::Text : IdKind::Integer;
  return layout;
}

void ErrorBlock::add(std::uint64_t prompt, std::uint32_t sample, const RowFault& fault) {
  prompt_index.push_back(prompt);
  sample_index.push_back(sample);
  code.emplace_back(name_of(fault.code));
  message.push_back(fault.message);
}

std::uint64_t OutputSize::of(const std::string& name) const {
  const auto known = units.find(name);
  return known == units.end() ? unknown : known->second;
}

OutputWriter::OutputWriter(std::string path, const OutputLayout& layout, const RootAttributes& attributes,
                           OutputSize size)
    : path_(std::move(path)),
      layout_(layout),
      attributes_(attributes),
      size_(std::move(size)),
      file_(h5::create_file(files::temporary_name(path_), seal_bytes)) {
  text_type_ = h5::text_type();
  make_completions();
  for_each_field(prompt_fields, [&]<class T>(const PromptField<T>& field) {
    if (!(layout_.*field.flag)) return;
    const std::string group = field.group;
    make_ragged<T>(group + "/values", group, size_.prompts, {ragged_chunk<T>(1, size_.of(group)), one_dimensional});
  });
  make_errors();
  carry_ = h5::create_group(file_, "carry");
}

void OutputWriter::make_completions() {
  h5::create_group(file_, "completions");
  const std::uint64_t rows = fitted(row_chunk, size_.rows);
  auto make_plain = [&](const std::string& name, hid_t stored, hid_t memory) {
    make(name, stored, memory, {rows, one_dimensional});
  };
  for_each_field(completion_fields,
                 Cases{[&]<class T>(const ScalarField<T>& field) {
                         using Stored = typename ScalarField<T>::Stored;
                         const std::string name = in_completions(field.name);
                         make_plain(name, stored_type<Stored>(), memory_type<Stored>());
                         if constexpr (std::is_enum_v<T>)
                           write_code_names(columns_.at(name).dataset, names_of(T{}), Numbered::Yes);
                       },
                       [&](const IdField& field) {
                         const bool texts = layout_.ids == IdKind::Text;
                         make_plain(in_completions(field.name), texts ? text_type_.id() : stored_type<std::int64_t>(),
                                    texts ? text_type_.id() : memory_type<std::int64_t>());
                       },
                       [&]<class Values>(const RaggedField<Values>& field) {
                         using Value = typename Values::value_type;
                         const std::uint64_t width = field.width(layout_);
                         if (width == 0) return;
                         make_ragged<Value>(in_completions(field.values), in_completions(field.lengths), size_.rows,
                                            {ragged_chunk<Value>(width, size_.of(field.lengths)),
                                             field.per_unit == PerUnit::K ? width : one_dimensional});
                       }});
}

void OutputWriter::make_errors() {
  h5::create_group(file_, "errors");
  const Shape shape = {fitted(error_chunk, size_.errors), one_dimensional};
  make("errors/prompt_index", stored_type<std::uint64_t>(), memory_type<std::uint64_t>(), shape);
  make("errors/sample_index", stored_type<std::uint32_t>(), memory_type<std::uint32_t>(), shape);
  make("errors/code", text_type_, text_type_, shape);
  make("errors/message", text_type_, text_type_, shape);
  write_code_names(columns_.at("errors/code").dataset, error_code_names, Numbered::No);
}

// Writes the values, and the offsets of the group `lengths` unless they are written already.
template <class T>
void OutputWriter::make_ragged(const std::string& values, const std::string& lengths, std::uint64_t rows, Shape shape) {
  for (const std::string& group : {lengths, values.substr(0, values.rfind('/'))})
    if (!h5::exists(file_, group)) h5::create_group(file_, group);
  make(values, stored_type<T>(), memory_type<T>(), shape);
  if (ends_.contains(lengths)) return;
  const std::uint64_t offsets = rows == OutputSize::unknown ? rows : rows + 1;
  make(lengths + "/offsets", stored_type<std::uint64_t>(), memory_type<std::uint64_t>(),
       {fitted(row_chunk, offsets), one_dimensional});
  put(lengths + "/offsets", 1, &ends_[lengths]);
}

void OutputWriter::make(const std::string& name, hid_t stored, hid_t memory, Shape shape) {
  std::string what = files::temporary_name(path_) + ": dataset '/" + name + "'";
  int rank = shape.width == one_dimensional ? 1 : 2;
  std::array<hsize_t, 2> extents = {0, shape.width}, limits = {H5S_UNLIMITED, shape.width};
  std::array<hsize_t, 2> chunk = {shape.chunk_rows, shape.width};
  h5::Handle space = h5::own(H5Screate_simple(rank, extents.data(), limits.data()), what);
  h5::Handle creation = h5::own(H5Pcreate(H5P_DATASET_CREATE), what);
  h5::check(H5Pset_obj_track_times(creation, false), what);
  h5::check(H5Pset_chunk(creation, rank, chunk.data()), what);
  if (layout_.gzip_level) {
    if (H5Tget_class(stored) != H5T_STRING && H5Tget_size(stored) > 1) h5::check(H5Pset_shuffle(creation), what);
    h5::check(H5Pset_deflate(creation, *layout_.gzip_level), what);
  }
  // Lets every reader of the values detect flipped bits. Variable-length texts are stored outside the chunks.
  if (H5Tget_class(stored) != H5T_STRING) h5::check(H5Pset_fletcher32(creation), what);
  hid_t id = H5Dcreate2(file_, name.c_str(), stored, space, H5P_DEFAULT, creation, H5P_DEFAULT);
  columns_[name] = {h5::own(id, what), memory, what};
}

void OutputWriter::put(const std::string& name, std::uint64_t count, const void* data) {
  const auto found = columns_.find(name);
  expect(found != columns_.end(), "outputs: the column is in the layout");
  if (count == 0) return;
  Column& column = found->second;
  std::vector<hsize_t> extents = h5::shape(column.dataset);
  extents[0] = column.size + count;
  h5::check(H5Dset_extent(column.dataset, extents.data()), column.what);
  h5::write_rows(column.dataset, column.memory_type, column.size, count, data, column.what);
  column.size += count;
}

void OutputWriter::put_offsets(const std::string& lengths, std::span<const std::uint64_t> counts) {
  std::vector<std::uint64_t> ends;
  ends.reserve(counts.size());
  std::uint64_t& end = ends_[lengths];
  for (std::uint64_t count : counts) ends.push_back(end += count);
  put(lengths + "/offsets", ends.size(), ends.data());
}

void OutputWriter::put_ragged(const std::string& values, const std::string& lengths,
                              std::span<const std::uint64_t> counts, const void* data) {
  std::uint64_t sum = 0;
  for (std::uint64_t count : counts) sum += count;
  put(values, sum, data);
  put_offsets(lengths, counts);
}

void OutputWriter::put_texts(const std::string& name, const std::vector<std::string>& texts) {
  std::vector<const char*> values;
  values.reserve(texts.size());
  for (const std::string& text : texts) values.push_back(text.c_str());
  put(name, values.size(), values.data());
}

void OutputWriter::put_ids(const std::string& name, std::span<const Completion> rows) {
  std::vector<std::string> texts;
  std::vector<std::int64_t> integers;
  for (const Completion& row : rows) {
    if (layout_.ids == IdKind::Text) {
      texts.push_back(to_text(row.id));
    } else {
      expect(std::holds_alternative<std::int64_t>(row.id), "outputs: ids are integers in every row");
      integers.push_back(std::get<std::int64_t>(row.id));
    }
  }
  layout_.ids == IdKind::Text ? put_texts(name, texts) : put(name, integers.size(), integers.data());
}

template <class Values>
void OutputWriter::put_values(const RaggedField<Values>& field, std::span<const Completion> rows) {
  const std::uint64_t width = field.width(layout_);
  if (width == 0) return;
  std::vector<typename Values::value_type> values;
  std::vector<std::uint64_t> counts;
  for (const Completion& row : rows) {
    const Values& more = row.*field.member;
    expect(more.size() % width == 0, "outputs: every unit has as many values as the layout says");
    values.insert(values.end(), more.begin(), more.end());
    counts.push_back(more.size() / width);
  }
  const std::string name = in_completions(field.values), lengths = in_completions(field.lengths);
  put(name, values.size() / width, values.data());
  if (columns_.at(lengths + "/offsets").size < this->rows() + 1) put_offsets(lengths, counts);  // else they are shared
  expect(columns_.at(name).size == ends_.at(lengths), "outputs: columns that share offsets have as many values");
}

void OutputWriter::append(std::span<const Completion> rows) {
  for (const Completion& row : rows) {
    if (prompts_ == 0 || row.prompt_index != last_prompt_) prompts_++;
    last_prompt_ = row.prompt_index;
  }
  for_each_field(completion_fields,
                 Cases{[&]<class T>(const ScalarField<T>& field) {
                         std::vector<typename ScalarField<T>::Stored> values;
                         values.reserve(rows.size());
                         for (const Completion& row : rows)
                           values.push_back(static_cast<typename ScalarField<T>::Stored>(row.*field.member));
                         put(in_completions(field.name), values.size(), values.data());
                       },
                       [&](const IdField& field) { put_ids(in_completions(field.name), rows); },
                       [&]<class T>(const RaggedField<T>& field) { put_values(field, rows); }});
}

void OutputWriter::append(const ErrorBlock& errors) {
  put("errors/prompt_index", errors.prompt_index.size(), errors.prompt_index.data());
  put("errors/sample_index", errors.sample_index.size(), errors.sample_index.data());
  put_texts("errors/code", errors.code);
  put_texts("errors/message", errors.message);
}

void OutputWriter::append_carried(const std::string& name, hid_t source, std::uint64_t first, std::uint64_t count) {
  Column& column = carried_[name];
  if (!column.dataset.valid())
    column.dataset = make_carried(carry_, name, source, layout_.gzip_level, fitted(row_chunk, size_.prompts));
  copy_carried(source, first, count, column.dataset, column.size);
  column.size += count;
}

std::uint64_t OutputWriter::rows() const { return columns_.at("completions/prompt_index").size; }

OutputWriter::~OutputWriter() {
  if (!published_) files::try_remove(files::temporary_name(path_));
}

void OutputWriter::close(const std::string& path) {
  // Flushes before the datasets are closed, because closing drops a chunk that cannot be written without an error.
  h5::check(H5Fflush(file_, H5F_SCOPE_LOCAL), path + ": flush");
  columns_.clear();
  carried_.clear();
  carry_ = {};
  write_root_attributes(file_, attributes_);
  h5::check(H5Fflush(file_, H5F_SCOPE_LOCAL), path + ": flush");
  h5::write_attribute(file_, "complete", std::int64_t{1});
  file_.close(path);
}

void OutputWriter::publish(const std::function<void()>& between) {
  for (const auto& [name, column] : carried_)
    expect(column.size == prompts_, "outputs: a carried column has one row per prompt");
  const std::string path = files::temporary_name(path_);
  close(path);
  std::vector<std::string> faults = check_form(path);
  if (!faults.empty()) system_error("{}: came back damaged after it was written: {}", path, fmt::join(faults, "; "));
  seal(path, between);
  files::publish(path, path_);
  published_ = true;
}

}  // namespace moemill::dataset
