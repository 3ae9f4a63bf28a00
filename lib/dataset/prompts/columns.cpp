#include "dataset/prompts/columns.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/error.hpp"

namespace moemill::dataset {
namespace {

constexpr std::uint64_t fixed_read_bytes = 32u << 20;

std::string type_name(hid_t type) {
  switch (H5Tget_class(type)) {
    case H5T_INTEGER: return "integers";
    case H5T_FLOAT: return "floats";
    case H5T_STRING: return "strings";
    case H5T_VLEN: return "variable-length arrays";
    case H5T_COMPOUND: return "compound records";
    case H5T_ENUM: return "enumerated values or booleans";
    case H5T_OPAQUE: return "opaque bytes";
    case H5T_ARRAY: return "arrays";
    case H5T_REFERENCE: return "references";
    default: return "values of an unknown type";
  }
}

bool is_group(hid_t parent, const std::string& name) { return h5::object_kind(parent, name) == H5I_GROUP; }

h5::Handle open_column(hid_t group, const ColumnPlace& place) {
  if (h5::object_kind(group, place.name) != H5I_DATASET) {
    user_error("{}: is not a dataset: write it with f[\"{}\"] = one value a prompt", place.text(), place.name);
  }
  return h5::open_dataset(group, place.name);
}

h5::Handle open_member(hid_t group, const ColumnPlace& place, std::size_t most_bytes) {
  if (!h5::exists(group, place.name) || h5::object_kind(group, place.name) != H5I_DATASET) {
    user_error("{}: is missing: a packed column is a group with the datasets 'values' and 'offsets'", place.text());
  }
  h5::Handle dataset = h5::open_dataset(group, place.name);
  h5::Handle type = h5::type_of(dataset);
  if (H5Tget_class(type) != H5T_INTEGER || H5Tget_size(type) > most_bytes) {
    user_error("{}: holds {} of {} bytes, needs integers of at most {} bytes", place.text(), type_name(type),
               H5Tget_size(type), most_bytes);
  }
  return dataset;
}

ColumnPlace member_of(const ColumnPlace& packed, const char* name) {
  return {packed.file, packed.group, packed.name + "/" + name};
}

// Variable-length rows in HDF5's own memory, which it gets back at the end of the scope.
class VariableRows {
 public:
  VariableRows(hid_t dataset, hid_t type, std::uint64_t first, std::uint64_t count, std::size_t row_bytes,
               const std::string& what)
      : bytes_(count * row_bytes), type_(type) {
    hsize_t extent = count;
    space_ = h5::own(H5Screate_simple(1, &extent, nullptr), what);
    h5::read_rows(dataset, type, first, count, bytes_.data(), what);
  }
  VariableRows(const VariableRows&) = delete;
  VariableRows& operator=(const VariableRows&) = delete;
  ~VariableRows() { H5Dvlen_reclaim(type_, space_, H5P_DEFAULT, bytes_.data()); }
  template <class Row>
  Row row(std::uint64_t i) const {
    Row row;
    std::memcpy(&row, bytes_.data() + i * sizeof(Row), sizeof(Row));
    return row;
  }

 private:
  std::vector<std::byte> bytes_;
  hid_t type_;
  h5::Handle space_;
};

}  // namespace

std::string ColumnPlace::text() const {
  return fmt::format("{}: dataset '{}{}{}'", file, group, group.ends_with('/') ? "" : "/", name);
}

std::uint64_t rows_of(hid_t dataset, const ColumnPlace& place) {
  std::vector<hsize_t> shape = h5::shape(dataset);
  if (shape.size() != 1) {
    user_error("{}: has {} dimensions, needs one: one value a prompt", place.text(), shape.size());
  }
  return shape[0];
}

PackedColumn::PackedColumn(hid_t group, ColumnPlace place, std::size_t most_value_bytes) : place_(std::move(place)) {
  const ColumnPlace values = member_of(place_, "values"), offsets = member_of(place_, "offsets");
  values_ = open_member(group, values, most_value_bytes);
  offsets_ = open_member(group, offsets, 8);
  value_count_ = rows_of(values_, values);
  const std::uint64_t entries = rows_of(offsets_, offsets);
  if (entries == 0) user_error("{}: is empty, needs one entry more than there are prompts", offsets.text());
  rows_ = entries - 1;
}

std::vector<std::int64_t> PackedColumn::read_offsets(std::uint64_t first, std::uint64_t count) const {
  std::vector<std::int64_t> ends(count + 1);
  const std::string what = member_of(place_, "offsets").text();
  h5::read_rows(offsets_, H5T_NATIVE_INT64, first, count + 1, ends.data(), what);
  if (first == 0 && ends.front() != 0) user_error("{}: row 0 is {}, must be 0", what, ends.front());
  for (std::uint64_t i = 0; i <= count; i++) {
    bool ascends = ends[i] >= 0 && (i == 0 || ends[i] >= ends[i - 1]);
    if (!ascends || static_cast<std::uint64_t>(ends[i]) > value_count_) {
      user_error("{}: row {} is {}: offsets must ascend from 0 to the {} entries of 'values'", what, first + i, ends[i],
                 value_count_);
    }
  }
  if (first + count == rows_ && static_cast<std::uint64_t>(ends.back()) != value_count_)
    user_error("{}: ends at {}, but 'values' has {} entries", what, ends.back(), value_count_);
  return ends;
}

TextColumn::TextColumn(hid_t group, ColumnPlace place) : place_(std::move(place)) {
  if (is_group(group, place_.name)) {
    rows_ = packed_.emplace(group, place_, 1).rows();
    return;
  }
  data_ = open_column(group, place_);
  rows_ = rows_of(data_, place_);
  h5::Handle type = h5::type_of(data_);
  if (rows_ > 0 && H5Tget_class(type) != H5T_STRING) {  // h5py writes an empty list as floats
    user_error("{}: holds {}, needs strings: write it with f[\"{}\"] = list_of_str", place_.text(), type_name(type),
               place_.name);
  }
  form_ = H5Tget_class(type) == H5T_STRING && H5Tis_variable_str(type) <= 0 ? Form::Fixed : Form::Variable;
}

void TextColumn::check_offsets(std::uint64_t first, std::uint64_t count) const {
  if (packed_) packed_->read_offsets(first, count);
}

std::vector<std::string> TextColumn::read(std::uint64_t first, std::uint64_t count) const {
  expect(first <= rows_ && count <= rows_ - first, "text column: rows lie within it");
  if (count == 0) return {};
  if (packed_) return read_packed(first, count);
  return form_ == Form::Fixed ? read_fixed(first, count) : read_variable(first, count);
}

std::vector<std::string> TextColumn::read_variable(std::uint64_t first, std::uint64_t count) const {
  h5::Handle type = h5::text_type();
  h5::Handle stored = h5::type_of(data_);
  // HDF5 does not convert between ASCII and UTF-8, so the stored type is used; the bytes are checked later.
  h5::check(H5Tset_cset(type, H5Tget_cset(stored)), place_.text());
  VariableRows rows(data_, type, first, count, sizeof(char*), place_.text());
  std::vector<std::string> texts(count);
  for (std::uint64_t i = 0; i < count; i++) {
    if (const char* text = rows.row<const char*>(i)) texts[i] = text;  // null: a row that was never written
  }
  return texts;
}

std::vector<std::string> TextColumn::read_fixed(std::uint64_t first, std::uint64_t count) const {
  h5::Handle type = h5::type_of(data_);
  std::size_t width = H5Tget_size(type);
  bool padded_by_spaces = H5Tget_strpad(type) == H5T_STR_SPACEPAD;
  bool ends_at_null = H5Tget_strpad(type) == H5T_STR_NULLTERM;
  std::uint64_t rows_at_once = std::max<std::uint64_t>(1, fixed_read_bytes / width);
  std::vector<std::string> texts;
  texts.reserve(count);
  std::string bytes;
  for (std::uint64_t done = 0; done < count; done += rows_at_once) {
    std::uint64_t rows = std::min(rows_at_once, count - done);
    bytes.resize(rows * width);
    h5::read_rows(data_, type, first + done, rows, bytes.data(), place_.text());
    for (std::uint64_t i = 0; i < rows; i++) {
      std::string_view cell = std::string_view(bytes).substr(i * width, width);
      if (ends_at_null) cell = cell.substr(0, cell.find('\0'));
      std::size_t last = cell.find_last_not_of(padded_by_spaces ? ' ' : '\0');
      texts.emplace_back(cell.substr(0, last == std::string_view::npos ? 0 : last + 1));
    }
  }
  return texts;
}

std::vector<std::string> TextColumn::read_packed(std::uint64_t first, std::uint64_t count) const {
  std::vector<std::int64_t> ends = packed_->read_offsets(first, count);
  std::string bytes(static_cast<std::size_t>(ends.back() - ends.front()), '\0');
  h5::Handle type = h5::type_of(packed_->values());  // one byte each, signed or not
  h5::read_rows(packed_->values(), type, static_cast<std::uint64_t>(ends.front()), bytes.size(), bytes.data(),
                place_.text());
  std::vector<std::string> texts(count);
  for (std::uint64_t i = 0; i < count; i++) {
    texts[i] =
        bytes.substr(static_cast<std::size_t>(ends[i] - ends[0]), static_cast<std::size_t>(ends[i + 1] - ends[i]));
  }
  return texts;
}

TokenColumn::TokenColumn(hid_t group, ColumnPlace place) : place_(std::move(place)) {
  if (is_group(group, place_.name)) {
    rows_ = packed_.emplace(group, place_, 8).rows();
    return;
  }
  data_ = open_column(group, place_);
  std::vector<hsize_t> shape = h5::shape(data_);
  if (shape.size() == 2) {
    user_error(
        "{}: is a table of {} x {} numbers, in which padding cannot be distinguished from tokens: write "
        "variable-length "
        "rows (dtype=h5py.vlen_dtype(np.int32)), or a group with 'values' and 'offsets'",
        place_.text(), shape[0], shape[1]);
  }
  rows_ = rows_of(data_, place_);
  h5::Handle type = h5::type_of(data_);
  bool variable = H5Tget_class(type) == H5T_VLEN;
  h5::Handle base = variable ? h5::own(H5Tget_super(type), place_.text()) : h5::Handle();
  if (rows_ > 0 && (!variable || H5Tget_class(base) != H5T_INTEGER)) {
    user_error(
        "{}: holds {}, needs variable-length integers (dtype=h5py.vlen_dtype(np.int32)), or a group with 'values' "
        "and 'offsets'",
        place_.text(), type_name(type));
  }
}

void TokenColumn::check_offsets(std::uint64_t first, std::uint64_t count) const {
  if (packed_) packed_->read_offsets(first, count);
}

std::vector<std::vector<std::int64_t>> TokenColumn::read(std::uint64_t first, std::uint64_t count) const {
  expect(first <= rows_ && count <= rows_ - first, "token column: rows lie within it");
  if (count == 0) return {};
  return packed_ ? read_packed(first, count) : read_variable(first, count);
}

std::vector<std::vector<std::int64_t>> TokenColumn::read_variable(std::uint64_t first, std::uint64_t count) const {
  h5::Handle type = h5::own(H5Tvlen_create(H5T_NATIVE_INT64), place_.text());
  VariableRows rows(data_, type, first, count, sizeof(hvl_t), place_.text());
  std::vector<std::vector<std::int64_t>> tokens(count);
  for (std::uint64_t i = 0; i < count; i++) {
    auto row = rows.row<hvl_t>(i);
    const auto* values = static_cast<const std::int64_t*>(row.p);
    if (row.len > 0) tokens[i].assign(values, values + row.len);
  }
  return tokens;
}

std::vector<std::vector<std::int64_t>> TokenColumn::read_packed(std::uint64_t first, std::uint64_t count) const {
  std::vector<std::int64_t> ends = packed_->read_offsets(first, count);
  std::vector<std::int64_t> values(static_cast<std::size_t>(ends.back() - ends.front()));
  h5::read_rows(packed_->values(), H5T_NATIVE_INT64, static_cast<std::uint64_t>(ends.front()), values.size(),
                values.data(), place_.text());
  std::vector<std::vector<std::int64_t>> tokens(count);
  for (std::uint64_t i = 0; i < count; i++) {
    tokens[i].assign(values.begin() + (ends[i] - ends[0]), values.begin() + (ends[i + 1] - ends[0]));
  }
  return tokens;
}

NumberColumn::NumberColumn(hid_t group, ColumnPlace place, Booleans booleans)
    : place_(std::move(place)), data_(open_column(group, place_)) {
  rows_ = rows_of(data_, place_);
  h5::Handle type = h5::type_of(data_);
  H5T_class_t kind = H5Tget_class(type);
  if (kind == H5T_ENUM && booleans == Booleans::Accepted) return;  // HDF5 reads them as the integers that they are
  if (kind != H5T_INTEGER && kind != H5T_FLOAT) {
    user_error("{}: holds {}, needs numbers (NaN or -1 where the run's default is meant)", place_.text(),
               type_name(type));
  }
  if (kind == H5T_FLOAT) {
    form_ = Form::Float;
  } else {
    form_ = H5Tget_sign(type) == H5T_SGN_NONE ? Form::Unsigned : Form::Signed;
  }
}

std::vector<std::optional<double>> NumberColumn::read_signed_reals(std::uint64_t first, std::uint64_t count) const {
  std::vector<double> stored(count);
  h5::read_rows(data_, H5T_NATIVE_DOUBLE, first, count, stored.data(), place_.text());
  std::vector<std::optional<double>> values(count);
  for (std::uint64_t i = 0; i < count; i++) {
    if (!std::isnan(stored[i])) values[i] = stored[i];
  }
  return values;
}

std::vector<std::optional<double>> NumberColumn::read_reals(std::uint64_t first, std::uint64_t count) const {
  auto values = read_signed_reals(first, count);
  for (auto& value : values) {
    if (value == -1.0) value.reset();
  }
  return values;
}

std::vector<std::optional<std::uint64_t>> NumberColumn::read_wholes(std::uint64_t first, std::uint64_t count) const {
  std::vector<std::optional<std::uint64_t>> values(count);
  auto refuse = [&](std::uint64_t i, auto found) {
    user_error("{}: row {} is {}, must be a whole number from 0 on (NaN or -1 for the run's default)", place_.text(),
               first + i, found);
  };
  if (form_ == Form::Float) {
    auto reals = read_reals(first, count);
    for (std::uint64_t i = 0; i < count; i++) {
      if (!reals[i]) continue;
      bool whole = *reals[i] >= 0 && *reals[i] <= 0x1p53 && *reals[i] == std::floor(*reals[i]);
      if (!whole) refuse(i, *reals[i]);
      values[i] = static_cast<std::uint64_t>(*reals[i]);
    }
  } else if (form_ == Form::Unsigned) {
    std::vector<std::uint64_t> stored(count);
    h5::read_rows(data_, H5T_NATIVE_UINT64, first, count, stored.data(), place_.text());
    std::copy(stored.begin(), stored.end(), values.begin());
  } else {
    std::vector<std::int64_t> stored(count);
    h5::read_rows(data_, H5T_NATIVE_INT64, first, count, stored.data(), place_.text());
    for (std::uint64_t i = 0; i < count; i++) {
      if (stored[i] < -1) refuse(i, stored[i]);
      if (stored[i] >= 0) values[i] = static_cast<std::uint64_t>(stored[i]);
    }
  }
  return values;
}

std::vector<std::int64_t> NumberColumn::read_integers(std::uint64_t first, std::uint64_t count) const {
  if (form_ == Form::Float) user_error("{}: holds floats, needs integers or strings", place_.text());
  std::vector<std::int64_t> values(count);
  if (form_ == Form::Signed) {
    h5::read_rows(data_, H5T_NATIVE_INT64, first, count, values.data(), place_.text());
    return values;
  }
  std::vector<std::uint64_t> stored(count);
  h5::read_rows(data_, H5T_NATIVE_UINT64, first, count, stored.data(), place_.text());
  for (std::uint64_t i = 0; i < count; i++) {
    if (stored[i] > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
      user_error("{}: row {} is {}, which does not fit a signed 64-bit integer", place_.text(), first + i, stored[i]);
    }
    values[i] = static_cast<std::int64_t>(stored[i]);
  }
  return values;
}

std::vector<std::optional<bool>> SwitchColumn::read(std::uint64_t first, std::uint64_t count) const {
  const auto numbers = numbers_.read_wholes(first, count);
  std::vector<std::optional<bool>> values(count);
  for (std::uint64_t i = 0; i < count; i++) {
    if (numbers[i] > 1u) {
      user_error("{}: row {} is {}, must be 1 or true, 0 or false (-1 for the run's default)", place().text(),
                 first + i, *numbers[i]);
    }
    if (numbers[i]) values[i] = *numbers[i] == 1;
  }
  return values;
}

}  // namespace moemill::dataset
