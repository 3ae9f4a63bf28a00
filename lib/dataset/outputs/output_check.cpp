#include <limits>
#include <map>
#include <optional>
#include <string_view>

#include "base/error.hpp"
#include "dataset/outputs/outputs.hpp"

namespace moemill::dataset {
namespace {

// Checks one file and collects its faults.
class FormCheck {
 public:
  explicit FormCheck(hid_t file) : file_(file) {}

  std::vector<std::string> run() {
    attributes();
    completions();
    for_each_field(prompt_fields,
                   [&]<class T>(const PromptField<T>& field) { by_prompt(field.group, stored_type<T>()); });
    errors();
    carried();
    return std::move(faults_);
  }

 private:
  template <class... Args>
  void fault(fmt::format_string<Args...> text, Args&&... args) {
    faults_.push_back(fmt::format(text, std::forward<Args>(args)...));
  }

  void attributes() {
    for (const char* name : {"moemill_version", "git_commit"}) has_attribute(name, H5T_STRING);
    for (const RootField& field : root_fields)
      if (field.in == InFiles::Always || H5Aexists(file_, field.name) > 0) has_attribute(field.name, H5T_STRING);
    number("format_version", outputs_format_version);
    number("complete", 1);
    has_attribute("world_size", H5T_INTEGER);
    if (has_attribute("format", H5T_STRING) && h5::read_text_attribute(file_, "format") != "moemill-outputs") {
      fault("root attribute 'format' is not 'moemill-outputs'");
    }
  }

  // Whether it is one number or one text; reports a fault otherwise. An array would overflow the scalar it is read
  // into.
  bool has_attribute(const char* name, H5T_class_t kind) {
    if (H5Aexists(file_, name) <= 0) {
      fault("root attribute '{}' is missing", name);
      return false;
    }
    const h5::Handle attribute = h5::own(H5Aopen(file_, name, H5P_DEFAULT), name);
    const h5::Handle type = h5::own(H5Aget_type(attribute), name), space = h5::own(H5Aget_space(attribute), name);
    const bool fits = H5Sget_simple_extent_type(space) == H5S_SCALAR && H5Tget_class(type) == kind &&
                      (kind != H5T_STRING || H5Tis_variable_str(type) > 0);
    if (!fits) fault("root attribute '{}' has another type or rank than it must have", name);
    return fits;
  }

  void number(const char* name, std::int64_t value) {
    if (!has_attribute(name, H5T_INTEGER)) return;
    if (std::int64_t found = h5::read_number_attribute(file_, name); found != value) {
      fault("root attribute '{}' is {}, expected {}", name, found, value);
    }
  }

  // Extents of a dataset of the given type. For any other type it records a fault and returns nothing.
  std::optional<std::vector<hsize_t>> dataset(const std::string& name, hid_t type, std::size_t rank = 1) {
    if (!h5::exists(file_, name) || h5::object_kind(file_, name) != H5I_DATASET) {
      fault("dataset '/{}' is missing", name);
      return std::nullopt;
    }
    h5::Handle found = h5::open_dataset(file_, name);
    h5::Handle stored = h5::type_of(found);
    bool fits = type == text_type_.id() ? H5Tget_class(stored) == H5T_STRING && H5Tis_variable_str(stored) > 0
                                        : H5Tequal(stored, type) > 0;
    std::vector<hsize_t> extents = h5::shape(found);
    if (!fits || extents.size() != rank) {
      fault("dataset '/{}' has another type or rank than it must have", name);
      return std::nullopt;
    }
    check_chunks(found, name, extents);
    return extents;
  }

  // For a missing chunk, HDF5 reads zeros as if they had been written and checks no checksum.
  void check_chunks(hid_t dataset, const std::string& name, const std::vector<hsize_t>& extents) {
    const h5::Handle settings = h5::own(H5Dget_create_plist(dataset), name);
    if (H5Pget_layout(settings) != H5D_CHUNKED) return;
    std::vector<hsize_t> chunk(extents.size());
    h5::check(H5Pget_chunk(settings, static_cast<int>(chunk.size()), chunk.data()), name);
    double wanted = 1;  // double, because extents of a corrupt file may overflow an integer
    for (std::size_t axis = 0; axis < chunk.size(); axis++)
      wanted *= static_cast<double>(extents[axis] / chunk[axis] + (extents[axis] % chunk[axis] > 0 ? 1 : 0));
    hsize_t found = 0;
    const h5::Handle space = h5::own(H5Dget_space(dataset), name);
    h5::check(H5Dget_num_chunks(dataset, space, &found), name);
    if (static_cast<double>(found) != wanted)
      fault("dataset '/{}' has {} of its {:.0f} chunks: the others were never written", name, found, wanted);
  }

  void column(const std::string& name, hid_t type, std::uint64_t rows) {
    if (auto extents = dataset(name, type); extents && (*extents)[0] != rows) {
      fault("dataset '/{}' has {} rows, expected {}", name, (*extents)[0], rows);
    }
  }

  void completions() {
    auto rows = dataset("completions/prompt_index", H5T_STD_U64LE);
    if (rows) rows_ = (*rows)[0];
    for_each_field(completion_fields, Cases{[&]<class T>(const ScalarField<T>& field) {
                                              if (rows && field.name != std::string_view("prompt_index"))
                                                column(in_completions(field.name),
                                                       stored_type<typename ScalarField<T>::Stored>(), rows_);
                                            },
                                            [&](const IdField& field) {
                                              if (rows) ids(in_completions(field.name));
                                            },
                                            [](const auto&) {}});
    std::map<std::string, std::optional<std::uint64_t>> ends;  // by the group of the offsets
    for_each_ragged([&](const auto& field) { ragged(field, ends); });
  }

  void ids(const std::string& name) {
    if (!h5::exists(file_, name)) return fault("dataset '/{}' is missing", name);
    const bool text = H5Tget_class(h5::type_of(h5::open_dataset(file_, name))) == H5T_STRING;
    column(name, text ? text_type_.id() : H5T_STD_I64LE, rows_);
  }

  // The last of the offsets, of which there must be one more than rows.
  std::optional<std::uint64_t> end_of(const std::string& group, std::uint64_t rows) {
    auto extents = dataset(group + "/offsets", H5T_STD_U64LE);
    if (!extents) return std::nullopt;
    if ((*extents)[0] != rows + 1) {
      fault("dataset '/{}/offsets' has {} entries, expected {}", group, (*extents)[0], rows + 1);
      return std::nullopt;
    }
    std::uint64_t end = 0;
    h5::Handle offsets = h5::open_dataset(file_, group + "/offsets");
    h5::read_rows(offsets, H5T_NATIVE_UINT64, rows, 1, &end, "offsets");
    return end;
  }

  template <class Values>
  void ragged(const RaggedField<Values>& field, std::map<std::string, std::optional<std::uint64_t>>& ends) {
    if (!is_due(field)) return;
    const std::string lengths = in_completions(field.lengths), name = in_completions(field.values);
    if (!ends.contains(lengths)) ends[lengths] = end_of(lengths, rows_);
    const std::optional<std::uint64_t>& end = ends.at(lengths);
    if (!end) return;
    const hid_t type = stored_type<typename Values::value_type>();
    if (field.per_unit == PerUnit::One) return column(name, type, *end);
    auto extents = dataset(name, type, 2);
    if (!extents) return;
    if ((*extents)[1] > std::numeric_limits<std::uint32_t>::max())
      fault("dataset '/{}' has {} columns, more than k may be", name, (*extents)[1]);
    if (k_.value_or((*extents)[1]) != (*extents)[1] || (*extents)[0] != *end)
      fault("dataset '/{}' does not have the extents of the {} tokens and their top logprobs", name, *end);
    k_ = (*extents)[1];
  }

  // Whether the file must have the values. A column that is not stored has no group, with two exceptions: the group
  // that columns share their offsets in stays for any of them, and top logprobs, K per token, are absent for k = 0.
  template <class Values>
  bool is_due(const RaggedField<Values>& field) const {
    if (h5::exists(file_, in_completions(field.values))) return true;
    const std::string_view values = field.values, group = values.substr(0, values.find('/'));
    if (!h5::exists(file_, in_completions(group))) return false;
    bool any_shares = false, any_per_k = false;  // of the columns that are there
    for_each_ragged([&](const auto& other) {
      if (std::string_view(other.lengths) != field.lengths || !h5::exists(file_, in_completions(other.values))) return;
      any_shares = true;
      any_per_k = any_per_k || other.per_unit == PerUnit::K;
    });
    if (field.per_unit == PerUnit::K) return any_per_k;
    return group != field.lengths || !any_shares;
  }

  void by_prompt(const std::string& group, hid_t type) {
    if (!h5::exists(file_, group)) return;
    auto extents = dataset(group + "/offsets", H5T_STD_U64LE);
    if (!extents) return;
    if ((*extents)[0] == 0) {
      fault("dataset '/{}/offsets' has 0 entries, expected one or more", group);
    } else if (auto end = end_of(group, (*extents)[0] - 1)) {
      column(group + "/values", type, *end);
      no_more_than_rows("dataset '/" + group + "/offsets'", (*extents)[0] - 1);
    }
  }

  // A prompt has at least one row, and a row has at most one error. After this check readers may allocate memory by
  // these extents, even for a corrupt file that claims more than a disk could hold.
  void no_more_than_rows(const std::string& what, std::uint64_t count) {
    if (count > rows_) fault("{} claims {}, but there are only {} rows", what, count, rows_);
  }

  void errors() {
    auto extents = dataset("errors/prompt_index", H5T_STD_U64LE);
    if (!extents) return;
    column("errors/sample_index", H5T_STD_U32LE, (*extents)[0]);
    column("errors/code", text_type_, (*extents)[0]);
    column("errors/message", text_type_, (*extents)[0]);
    no_more_than_rows("dataset '/errors/prompt_index'", (*extents)[0]);
  }

  void carried() {
    if (!h5::exists(file_, "carry") || h5::object_kind(file_, "carry") != H5I_GROUP) {
      fault("group '/carry' is missing");
      return;
    }
    for (const std::string& name : h5::child_names(h5::open_group(file_, "carry"))) {
      const std::string path = "carry/" + name;
      if (h5::object_kind(file_, path) != H5I_DATASET || h5::shape(h5::open_dataset(file_, path)).empty()) {
        fault("'/{}' is no dataset with rows", path);
        continue;
      }
      const h5::Handle rows = h5::open_dataset(file_, path);
      const std::vector<hsize_t> extents = h5::shape(rows);
      no_more_than_rows("dataset '/" + path + "'", extents[0]);
      check_chunks(rows, path, extents);
    }
  }

  hid_t file_;
  h5::Handle text_type_ = h5::text_type();
  std::uint64_t rows_ = 0;
  std::optional<std::uint64_t> k_;  // of the top logprobs seen so far
  std::vector<std::string> faults_;
};

}  // namespace

std::vector<std::string> check_form(hid_t file) {
  // A value that HDF5 cannot read is a fault too, and so is a missing filter (which is a UserError in a prompt file).
  try {
    return FormCheck(file).run();
  } catch (const std::runtime_error& error) {
    return {error.what()};
  }
}

std::vector<std::string> check_form(const std::string& path) {
  try {
    return check_form(h5::open_file(path));
  } catch (const std::runtime_error& error) {
    return {error.what()};
  }
}

}  // namespace moemill::dataset
