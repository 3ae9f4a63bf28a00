#include "dataset/prompts/contents.hpp"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <map>
#include <set>
#include <sstream>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "base/hash.hpp"
#include "dataset/rows_in_memory.hpp"

namespace moemill::dataset {
namespace {

constexpr std::uint64_t column_block_bytes = 32u << 20;
constexpr std::uint64_t most_column_rows = 4096;  // a row may point to much more memory

h5::Handle own(hid_t id) { return h5::own(id, "type of a column"); }

// A type as plain values: asking HDF5 about a type takes longer than reading a value of it.
struct Form {
  enum class Kind { Plain, FixedText, Text, List, Array, Record } kind = Kind::Plain;
  std::size_t bytes = 0;          // in memory
  std::size_t offset = 0;         // within a record
  H5T_str_t pad = H5T_STR_ERROR;  // of fixed text
  std::vector<Form> parts;        // the element of a list or an array, the members of a record
  std::string name;               // as lib/dataset/README.md spells it
  bool is_plain = true;           // the bytes in memory are the values, without pointers and gaps
};

Form form_of(hid_t type);

std::string number_name(hid_t type, char letter) {
  const std::size_t bytes = H5Tget_size(type);
  const char order = bytes == 1 ? '|' : H5Tget_order(type) == H5T_ORDER_BE ? '>' : '<';
  return fmt::format("{}{}{}", order, letter, bytes);
}

void add_text(Form& form, hid_t type) {
  form.is_plain = false;
  if (H5Tis_variable_str(type) > 0) {
    form.kind = Form::Kind::Text;
    form.name = "text";
    return;
  }
  form.kind = Form::Kind::FixedText;
  form.pad = H5Tget_strpad(type);
  form.name = fmt::format("|S{}", form.bytes);
}

void add_array(Form& form, hid_t type) {
  form.kind = Form::Kind::Array;
  form.parts.push_back(form_of(own(H5Tget_super(type))));
  std::vector<hsize_t> extents(static_cast<std::size_t>(std::max(0, H5Tget_array_ndims(type))));
  h5::check(H5Tget_array_dims2(type, extents.data()), "type of a column");
  form.name = fmt::format("({}){}", fmt::join(extents, ","), form.parts[0].name);
  form.is_plain = form.parts[0].is_plain;
}

void add_record(Form& form, hid_t type) {
  form.kind = Form::Kind::Record;
  std::size_t sum = 0;
  std::vector<std::string> names;
  for (int i = 0; i < H5Tget_nmembers(type); i++) {
    const auto member = static_cast<unsigned>(i);
    Form part = form_of(own(H5Tget_member_type(type, member)));
    part.offset = H5Tget_member_offset(type, member);
    form.is_plain = form.is_plain && part.is_plain && part.offset == sum;
    sum += part.bytes;
    char* name = H5Tget_member_name(type, member);
    names.push_back(fmt::format("{}:{}", name ? name : "", part.name));
    H5free_memory(name);
    form.parts.push_back(std::move(part));
  }
  form.name = fmt::format("{{{}}}", fmt::join(names, ","));
  form.is_plain = form.is_plain && sum == form.bytes;
}

Form form_of(hid_t type) {
  Form form;
  form.bytes = H5Tget_size(type);
  switch (H5Tget_class(type)) {
    case H5T_INTEGER: form.name = number_name(type, H5Tget_sign(type) == H5T_SGN_NONE ? 'u' : 'i'); break;
    case H5T_FLOAT: form.name = number_name(type, 'f'); break;
    case H5T_BITFIELD: form.name = number_name(type, 'u'); break;
    case H5T_ENUM: form.name = "enum " + form_of(own(H5Tget_super(type))).name; break;
    case H5T_STRING: add_text(form, type); break;
    case H5T_VLEN:
      form.kind = Form::Kind::List;
      form.parts.push_back(form_of(own(H5Tget_super(type))));
      form.name = fmt::format("list({})", form.parts[0].name);
      form.is_plain = false;
      break;
    case H5T_ARRAY: add_array(form, type); break;
    case H5T_COMPOUND: add_record(form, type); break;
    default: form.name = fmt::format("|V{}", form.bytes); break;
  }
  return form;
}

template <class T>
T load(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

void put_bytes(std::string& out, const void* data, std::size_t count) {
  if (count > 0) out.append(static_cast<const char*>(data), count);
}

void put_counted(std::string& out, std::string_view text) {
  const std::uint64_t count = text.size();
  put_bytes(out, &count, sizeof count);  // little-endian, as every machine that this builds on
  out += text;
}

std::string_view trimmed(const Form& form, const std::byte* at) {
  std::string_view text(reinterpret_cast<const char*>(at), form.bytes);
  if (form.pad == H5T_STR_NULLTERM) text = text.substr(0, text.find('\0'));
  const std::size_t last = text.find_last_not_of(form.pad == H5T_STR_SPACEPAD ? ' ' : '\0');
  return text.substr(0, last == std::string_view::npos ? 0 : last + 1);
}

void put_values(std::string& out, const Form& form, const std::byte* at, std::size_t count);

void put_value(std::string& out, const Form& form, const std::byte* at) {
  switch (form.kind) {
    case Form::Kind::Plain: return put_bytes(out, at, form.bytes);
    case Form::Kind::FixedText: return put_counted(out, trimmed(form, at));
    case Form::Kind::Text: {
      const auto* text = load<const char*>(at);  // null: never written
      return put_counted(out, text ? text : "");
    }
    case Form::Kind::List: {
      const auto list = load<hvl_t>(at);
      const std::uint64_t length = list.len;
      put_bytes(out, &length, sizeof length);
      return put_values(out, form.parts[0], static_cast<const std::byte*>(list.p), list.len);
    }
    case Form::Kind::Array:
      if (form.parts[0].bytes == 0) return;
      return put_values(out, form.parts[0], at, form.bytes / form.parts[0].bytes);
    case Form::Kind::Record:
      for (const Form& part : form.parts) put_value(out, part, at + part.offset);
  }
}

void put_values(std::string& out, const Form& form, const std::byte* at, std::size_t count) {
  if (form.is_plain) return put_bytes(out, at, count * form.bytes);
  for (std::size_t i = 0; i < count; i++) put_value(out, form, at + i * form.bytes);
}

}  // namespace

std::string contents_sha256(hid_t dataset, std::uint64_t rows) {
  const Form form = form_of(h5::type_of(dataset));
  std::vector<hsize_t> shape = h5::shape(dataset);
  expect(!shape.empty() && rows <= shape[0], "contents: rows lie within the column");
  shape[0] = rows;
  Sha256 sha;
  sha.update(fmt::format("{} {}\n", form.name, fmt::join(shape, " ")));
  const std::uint64_t row_bytes = std::max<std::uint64_t>(1, row_bytes_of(dataset));
  std::uint64_t step = std::max<std::uint64_t>(1, column_block_bytes / row_bytes);
  if (!form.is_plain) step = std::min(step, most_column_rows);
  std::string out;
  for (std::uint64_t first = 0; first < rows; first += step) {
    const RowsInMemory block(dataset, first, std::min(step, rows - first));
    if (form.is_plain) {
      sha.update(std::span(block.bytes()));
      continue;
    }
    out.clear();
    put_values(out, form, block.bytes().data(), block.bytes().size() / form.bytes);
    sha.update(out);
  }
  return sha.hex();
}

InputContents contents_of(hid_t group, const std::vector<std::string>& names, std::uint64_t rows) {
  std::map<std::string, std::string> sha256_of;
  for (const std::string& name : names) {
    if (sha256_of.contains(name)) continue;
    if (h5::object_kind(group, name) == H5I_DATASET) {
      sha256_of[name] = contents_sha256(h5::open_dataset(group, name), rows);
      continue;
    }
    const std::string offsets = name + "/offsets", values = name + "/values";
    const h5::Handle ends = h5::open_dataset(group, offsets);
    std::uint64_t end = 0;
    h5::read_rows(ends, H5T_NATIVE_UINT64, rows, 1, &end, offsets);
    sha256_of[offsets] = contents_sha256(ends, rows + 1);
    const h5::Handle packed = h5::open_dataset(group, values);
    sha256_of[values] = contents_sha256(packed, std::min<std::uint64_t>(end, h5::shape(packed)[0]));
  }
  InputContents contents;
  for (const auto& [name, sha256] : sha256_of) contents.columns += sha256 + "  " + name + "\n";
  contents.sha256 = sha256_hex(contents.columns);
  return contents;
}

std::vector<std::string> changed_columns(const std::string& before, const std::string& now) {
  auto lines_of = [](const std::string& text) {
    std::set<std::string> lines;
    std::istringstream in(text);
    for (std::string line; std::getline(in, line);) lines.insert(line);
    return lines;
  };
  const std::set<std::string> a = lines_of(before), b = lines_of(now);
  std::vector<std::string> differing;
  std::set_symmetric_difference(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(differing));
  std::set<std::string> names;
  for (const std::string& line : differing) names.insert(line.substr(std::min(line.find("  ") + 2, line.size())));
  return {names.begin(), names.end()};
}

}  // namespace moemill::dataset
