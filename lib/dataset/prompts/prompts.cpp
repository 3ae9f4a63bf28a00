#include "dataset/prompts/prompts.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "base/text/utf8.hpp"
#include "dataset/carry.hpp"
#include "dataset/prompts/column_names.hpp"
#include "dataset/prompts/columns.hpp"
#include "dataset/prompts/input_file.hpp"
#include "dataset/prompts/input_sources.hpp"
#include "dataset/prompts/options.hpp"
#include "dataset/prompts/prompt_bodies.hpp"
#include "dataset/prompts/prompt_ids.hpp"

namespace moemill::dataset {
namespace {

constexpr std::uint64_t check_rows = 4096;  // rows per range when whole columns are read

// A file that HDF5 cannot read is a UserError, whichever call fails.
template <class Body>
auto reading(const std::string& path, Body&& body) {
  try {
    return body();
  } catch (const SystemError& error) {
    user_error("{}: cannot be read as HDF5 ({}): the file is damaged or still being written; write it again", path,
               error.what());
  }
}

}  // namespace

struct PromptFile::State {
  State(const InputSettings& input_settings, const std::optional<std::vector<std::string>>& carried_columns);
  void open();

  InputSettings input;
  std::optional<std::vector<std::string>> carry;
  std::optional<InputContents> held_to;
  std::string stamp;  // of the file when it was opened
  std::string path;
  std::string group_name;
  h5::Handle file;
  h5::Handle group;
  InputSources sources;
  std::optional<TextColumn> texts;
  std::optional<TokenColumn> tokens;
  std::optional<TextColumn> text_ids;
  std::optional<NumberColumn> integer_ids;
  OptionColumns options;
  std::vector<std::string> used;
  std::vector<std::string> warnings;
  std::vector<CarriedColumn> carried;
  std::vector<h5::Handle> carried_datasets;  // open to the end: closing one would drop its chunks
  bool add_special_tokens = true;            // for rows that do not say it themselves
  std::uint64_t file_rows = 0;
  std::uint64_t size = 0;

  ColumnPlace place(std::string_view name) const { return {path, group_name, std::string(name)}; }
  const char* prompt_name() const { return tokens ? "prompt_token_ids" : "prompt"; }
  void check_sources(const std::optional<std::vector<std::string>>& wanted);
  void open_prompts();
  void open_options();
  void open_ids();
  template <class Column>
  void open_option(std::optional<Column>& column, std::string_view name);
  void refuse_ragged(std::string_view name, std::uint64_t rows) const;
  void find_carried(const std::optional<std::vector<std::string>>& wanted);

  void read_ids(std::vector<Prompt>& prompts, std::uint64_t first) const;
  void read_bodies(std::vector<Prompt>& prompts, std::uint64_t first) const;
};

// Without this check, a column that is a dangling link would count as absent, and all rows would use the run's setting.
void PromptFile::State::check_sources(const std::optional<std::vector<std::string>>& wanted) {
  const auto has_meaning = [](const std::string& name) {
    return name == "prompt" || name == "prompt_token_ids" || name == "id" || is_setting(name);
  };
  sources.check(
      group, place(""),
      [&](const std::string& name) {
        return !wanted || has_meaning(name) || std::find(wanted->begin(), wanted->end(), name) != wanted->end();
      },
      [&](const std::string& name) { return !has_meaning(name); });
}

void PromptFile::State::open_prompts() {
  if (h5::exists(group, "prompt_token_ids")) {
    tokens.emplace(group, place("prompt_token_ids"));
    file_rows = tokens->rows();
  } else if (h5::exists(group, "prompt")) {
    texts.emplace(group, place("prompt"));
    file_rows = texts->rows();
  } else {
    user_error(
        "{}: group '{}' has neither 'prompt' nor 'prompt_token_ids'; it has: {}. Write the prompts with "
        "f[\"prompt\"] = list_of_str, or name their group in input.group",
        path, group_name, fmt::join(h5::child_names(group), ", "));
  }
  if (file_rows == 0)
    user_error("{} has no rows: there is nothing to do", (tokens ? tokens->place() : texts->place()).text());
}

void PromptFile::State::refuse_ragged(std::string_view name, std::uint64_t rows) const {
  if (rows == file_rows) return;
  const ColumnPlace& prompts = tokens ? tokens->place() : texts->place();
  user_error(
      "{}: has {} rows, but '{}' has {}: a column needs one value a prompt; what is no column belongs in another "
      "group, or leave it out of output.carry_columns",
      place(name).text(), rows, prompts.name, file_rows);
}

template <class Column>
void PromptFile::State::open_option(std::optional<Column>& column, std::string_view name) {
  if (!h5::exists(group, std::string(name))) return;
  column.emplace(group, place(name));
  refuse_ragged(name, column->rows());
  used.emplace_back(name);
}

void PromptFile::State::open_ids() {
  if (!h5::exists(group, "id")) return;
  bool text = h5::object_kind(group, "id") == H5I_GROUP ||
              H5Tget_class(h5::type_of(h5::open_dataset(group, "id"))) == H5T_STRING;
  if (text) {
    open_option(text_ids, "id");
    return;
  }
  open_option(integer_ids, "id");
  integer_ids->read_integers(0, 0);  // floats are refused here, before anything is read
}

void PromptFile::State::open_options() {
  open_ids();
  open_option(options.n, "n");
  open_option(options.temperature, "temperature");
  open_option(options.top_p, "top_p");
  open_option(options.top_k, "top_k");
  open_option(options.min_p, "min_p");
  open_option(options.repetition_penalty, "repetition_penalty");
  open_option(options.presence_penalty, "presence_penalty");
  open_option(options.frequency_penalty, "frequency_penalty");
  open_option(options.max_tokens, "max_tokens");
  open_option(options.min_tokens, "min_tokens");
  open_option(options.seed, "seed");
  open_option(options.stop, "stop");
  open_option(options.stop_token_ids, "stop_token_ids");
  open_option(options.ignore_eos, "ignore_eos");
  open_option(options.logprobs, "logprobs");
  open_option(options.add_special_tokens, "add_special_tokens");
}

// Finds all datasets that are no prompts or settings and have a first axis, or exactly the wanted ones.
void PromptFile::State::find_carried(const std::optional<std::vector<std::string>>& wanted) {
  auto is_used = [&](const std::string& name) { return name == prompt_name() || name == "id" || is_setting(name); };
  for (const std::string& name : wanted ? *wanted : h5::child_names(group)) {
    bool is_dataset =
        name.find('/') == std::string::npos && h5::exists(group, name) && h5::object_kind(group, name) == H5I_DATASET;
    if (!is_dataset && wanted) {
      user_error("{}: is not there, but output.carry_columns names it; the group has: {}", place(name).text(),
                 fmt::join(h5::child_names(group), ", "));
    }
    if (!is_dataset || (!wanted && is_used(name))) continue;
    h5::Handle dataset = h5::open_dataset(group, name);
    const std::vector<hsize_t> shape = h5::shape(dataset);
    if (shape.empty() && !wanted) continue;  // a scalar is not a column
    refuse_ragged(name, shape.empty() ? 1 : shape[0]);
    const std::uint64_t row_bytes = carried_row_bytes(dataset, place(name).text());
    carried.push_back({name, row_bytes});
    carried_datasets.push_back(std::move(dataset));
  }
}

PromptFile::State::State(const InputSettings& input_settings,
                         const std::optional<std::vector<std::string>>& carried_columns)
    : input(input_settings), carry(carried_columns), path(input.path), group_name(input.group) {}

void PromptFile::State::open() {
  reading(path, [&] {
    file = open_input(path);
    group = open_input_group(file, path, group_name);
    check_sources(carry);
    stamp = sources.stamp();
    open_prompts();
    open_options();
    warnings = check_column_names(group, place(""), carry);
    warnings.insert(warnings.end(), sources.warnings().begin(), sources.warnings().end());
    if (tokens && h5::exists(group, "prompt"))
      warnings.push_back(path + ": the model reads 'prompt_token_ids'; 'prompt' beside it is only carried along");
    find_carried(carry);
    const std::optional<bool> of_file = special_tokens_attribute(file, group, path);
    add_special_tokens = input.add_special_tokens.value_or(of_file.value_or(true));
  });
  size = std::min(file_rows, input.limit.value_or(file_rows));
  if (size == 0) user_error("input.limit is 0: there is nothing to do");
}

PromptFile::PromptFile(const InputSettings& input, const std::optional<std::vector<std::string>>& carry)
    : state_(std::make_unique<State>(input, carry)) {
  state_->open();
}
PromptFile::PromptFile(PromptFile&&) noexcept = default;
PromptFile& PromptFile::operator=(PromptFile&&) noexcept = default;
PromptFile::~PromptFile() = default;

const std::string& PromptFile::path() const { return state_->path; }
std::uint64_t PromptFile::size() const { return state_->size; }
std::uint64_t PromptFile::file_rows() const { return state_->file_rows; }
PromptForm PromptFile::form() const { return state_->tokens ? PromptForm::TokenIds : PromptForm::Text; }
bool PromptFile::has_text_ids() const { return state_->text_ids.has_value(); }
bool PromptFile::has_stop_column() const { return state_->options.stop.has_value(); }
bool PromptFile::has_id_column() const { return state_->text_ids || state_->integer_ids; }
const std::vector<std::string>& PromptFile::used() const { return state_->used; }
bool PromptFile::add_special_tokens() const { return state_->add_special_tokens; }
const std::vector<std::string>& PromptFile::warnings() const { return state_->warnings; }
const std::vector<CarriedColumn>& PromptFile::carried() const { return state_->carried; }

hid_t PromptFile::carried_dataset(const std::string& name) const {
  const auto& all = state_->carried;
  const auto at = std::find_if(all.begin(), all.end(), [&](const CarriedColumn& c) { return c.name == name; });
  expect(at != all.end(), "prompts: the column is carried");
  return state_->carried_datasets[static_cast<std::size_t>(at - all.begin())];
}

InputContents PromptFile::contents() const { return contents_of_first(size()); }

InputContents PromptFile::contents_of_first(std::uint64_t rows) const {
  expect(rows <= size(), "prompts: rows lie within the file");
  std::vector<std::string> names = state_->used;
  names.emplace_back(state_->prompt_name());
  for (const CarriedColumn& column : state_->carried) names.push_back(column.name);
  return reading(path(), [&] { return contents_of(state_->group, names, rows); });
}

const std::string& PromptFile::stamp_when_opened() const { return state_->stamp; }

void PromptFile::hold_to(InputContents contents, const std::string& stamp) {
  state_->held_to = std::move(contents);
  if (state_->stamp != stamp) reopen();
}

PromptFile::Reopened PromptFile::check_contents() const {
  return state_->held_to && state_->sources.stamp() != state_->stamp ? reopen() : Reopened::No;
}

// Everything is closed first, because HDF5 would return cached values of an open file. A refused file stays refused:
// later reads, for instance to finish a shard, throw as well, unless the old contents are back by then.
PromptFile::Reopened PromptFile::reopen() const {
  State& state = *state_;
  const InputContents wanted = *state.held_to;
  const std::uint64_t rows = state.size;
  const auto refuse = [&](const std::string& how) {
    state.held_to = wanted;
    state.stamp = "refused";  // differs from every stamp
    state.size = rows;        // the run's; nothing is read before the contents are compared again
    user_error(
        "{}: was written to while this job reads it, and {}. Rows that are done are kept, and are of the prompts as "
        "they were: put these back and start the same command again, or give the new prompts a run of their own",
        state.path, how);
  };
  InputContents now;
  try {
    state = State(state.input, state.carry);
    state.open();
    now = contents();
  } catch (const UserError& e) {
    refuse(fmt::format("cannot be read any more ({})", e.what()));
  }
  if (now.sha256 != wanted.sha256)
    refuse(
        fmt::format("holds different values (in {})", fmt::join(changed_columns(wanted.columns, now.columns), ", ")));
  state.held_to = wanted;
  return Reopened::Yes;
}

// Repeats a read during which the file changed. An error is passed on only if the file did not change during the read.
template <class Body>
auto PromptFile::read_held(Body&& body) const {
  for (;;) {
    check_contents();
    try {
      auto values = reading(path(), body);
      if (check_contents() == Reopened::No) return values;
    } catch (const UserError&) {
      if (check_contents() == Reopened::No) throw;
    }
  }
}

void PromptFile::State::read_ids(std::vector<Prompt>& prompts, std::uint64_t first) const {
  if (text_ids) {
    std::vector<std::string> ids = text_ids->read(first, prompts.size());
    for (std::size_t i = 0; i < prompts.size(); i++) {
      if (first_bad_utf8(ids[i]) || ids[i].find('\0') != std::string::npos) {
        user_error("{}: row {} is not UTF-8 text without NUL bytes, which an id must be", text_ids->place().text(),
                   first + i);
      }
      prompts[i].id = std::move(ids[i]);
    }
  } else if (integer_ids) {
    std::vector<std::int64_t> ids = integer_ids->read_integers(first, prompts.size());
    for (std::size_t i = 0; i < prompts.size(); i++) prompts[i].id = ids[i];
  } else {
    for (std::size_t i = 0; i < prompts.size(); i++) prompts[i].id = static_cast<std::int64_t>(first + i);
  }
}

void PromptFile::State::read_bodies(std::vector<Prompt>& prompts, std::uint64_t first) const {
  if (texts) {
    std::vector<std::string> rows = texts->read(first, prompts.size());
    for (std::size_t i = 0; i < prompts.size(); i++) take_text(std::move(rows[i]), prompts[i]);
  } else {
    const auto rows = tokens->read(first, prompts.size());
    for (std::size_t i = 0; i < prompts.size(); i++) take_tokens(rows[i], prompts[i]);
  }
}

std::vector<Prompt> PromptFile::read(std::uint64_t first, std::uint64_t count, const SamplingParams& defaults) const {
  expect(first <= size() && count <= size() - first, "prompts: rows lie within the file");
  return read_held([&] {
    std::vector<Prompt> prompts(count);
    std::vector<SamplingParams> sampling(count, defaults);
    state_->read_ids(prompts, first);
    state_->read_bodies(prompts, first);
    state_->options.merge_into(sampling, first);
    const auto& special = state_->options.add_special_tokens;
    const auto said = special ? special->read(first, count) : std::vector<std::optional<bool>>(count);
    for (std::uint64_t i = 0; i < count; i++) {
      prompts[i].index = first + i;
      prompts[i].sampling = std::move(sampling[i]);
      prompts[i].add_special_tokens = said[i].value_or(state_->add_special_tokens);
    }
    return prompts;
  });
}

std::vector<std::uint32_t> PromptFile::read_sample_counts(std::uint64_t first, std::uint64_t count,
                                                          const SamplingParams& defaults) const {
  expect(first <= size() && count <= size() - first, "prompts: rows lie within the file");
  std::vector<std::uint32_t> counts(count, defaults.n);
  if (!state_->options.n) return counts;
  return read_held([&] {
    auto values = state_->options.n->read_wholes(first, count);
    for (std::uint64_t i = 0; i < count; i++) {
      if (values[i]) counts[i] = static_cast<std::uint32_t>(*values[i]);
    }
    return counts;
  });
}

std::optional<std::uint32_t> PromptFile::most_logprobs(std::optional<std::uint32_t> run_wide) const {
  const auto& column = state_->options.logprobs;
  if (!column) return run_wide;
  return reading(path(), [&] {
    std::optional<std::uint32_t> most;
    for (std::uint64_t first = 0; first < size(); first += check_rows) {
      for (const auto& own : column->read_wholes(first, std::min(check_rows, size() - first))) {
        const auto asked = own ? std::optional(static_cast<std::uint32_t>(*own)) : run_wide;
        most = std::max(most, asked);  // an empty optional is less than 0
      }
    }
    return most;
  });
}

std::vector<std::string> PromptFile::row_stops() const {
  constexpr std::size_t most = 1000;
  return reading(path(), [&] { return state_->options.stop_strings(size(), most); });
}

std::uint64_t PromptFile::check_columns(const SamplingParams& defaults, std::uint32_t vocabulary) const {
  return reading(path(), [&] {
    std::uint64_t samples = 0;
    for (std::uint64_t first = 0; first < size(); first += check_rows) {
      std::vector<SamplingParams> rows(std::min(check_rows, size() - first), defaults);
      if (state_->texts) state_->texts->check_offsets(first, rows.size());
      if (state_->tokens) state_->tokens->check_offsets(first, rows.size());
      state_->options.merge_into(rows, first);
      state_->options.check_stop_tokens(rows, first, vocabulary);
      if (const auto& special = state_->options.add_special_tokens) special->read(first, rows.size());
      for (const SamplingParams& row : rows) samples += row.n;
    }
    return samples;
  });
}

void PromptFile::check_ids() const {
  if (!has_id_column()) return;
  reading(path(), [&] {
    check_unique_ids(size(), state_->place("id").text(), [&](std::uint64_t first, std::uint64_t count) {
      std::vector<Prompt> rows(count);
      state_->read_ids(rows, first);
      return rows;
    });
  });
}

}  // namespace moemill::dataset
