// Any contents of prompts.h5: refused with a UserError, or prompts that can be read. The input chooses which columns
// there are, of which types and with which bytes, whether they are virtual, raw or links, and an attribute about
// special tokens; HDF5 writes the file around them. HDF5's own format is not fuzzed: HDF5 1.10 overruns buffers on
// corrupt files within seconds, which only the library can fix (a crash there ends the job).
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "dataset/prompts/prompts.hpp"
#include "process_path.hpp"
#include "system/files/h5.hpp"

namespace {

namespace h5 = moemill::h5;

class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size) : data_(data), size_(size) {}
  bool empty() const { return size_ == 0; }
  std::uint8_t byte() {
    std::uint8_t value = 0;
    fill(&value, 1);
    return value;
  }
  void fill(void* out, std::size_t bytes) {
    std::size_t there = std::min(bytes, size_);
    if (bytes > 0) std::memset(out, 0, bytes);
    if (there > 0) std::memcpy(out, data_, there);
    data_ += there, size_ -= there;
  }

 private:
  const std::uint8_t* data_;
  std::size_t size_;
};

void write(hid_t parent, const std::string& name, hid_t type, hsize_t rows, const void* values) {
  h5::Handle space = h5::own(H5Screate_simple(1, &rows, nullptr), name);
  h5::Handle links = h5::own(H5Pcreate(H5P_LINK_CREATE), name);
  h5::check(H5Pset_create_intermediate_group(links, 1), name);
  h5::Handle dataset = h5::own(H5Dcreate2(parent, name.c_str(), type, space, links, H5P_DEFAULT, H5P_DEFAULT), name);
  h5::write_rows(dataset, type, 0, rows, values, name);
}

// Numbers or fixed strings from the input's bytes.
void write_plain(hid_t parent, const std::string& name, Input& in, hsize_t rows) {
  const std::array<hid_t, 8> types = {H5T_STD_I8LE,  H5T_STD_U8BE,  H5T_STD_I16BE,  H5T_STD_I64LE,
                                      H5T_STD_U64LE, H5T_STD_I32LE, H5T_IEEE_F32LE, H5T_IEEE_F64BE};
  std::uint8_t choice = in.byte();
  h5::Handle type = h5::own(H5Tcopy(choice % 12 < 8 ? types[choice % 12] : H5T_C_S1), name);
  if (choice % 12 >= 8) {
    h5::check(H5Tset_size(type, choice / 12 + 1u), name);
    const std::array<H5T_str_t, 3> pads = {H5T_STR_NULLTERM, H5T_STR_NULLPAD, H5T_STR_SPACEPAD};
    h5::check(H5Tset_strpad(type, pads[choice % 3]), name);
  }
  std::vector<std::byte> values(rows * H5Tget_size(type));
  in.fill(values.data(), values.size());
  write(parent, name, type, rows, values.data());
}

void write_variable_text(hid_t parent, const std::string& name, Input& in, hsize_t rows) {
  std::vector<std::string> texts(rows);
  std::vector<const char*> values;
  for (std::string& text : texts) {
    text.resize(in.byte() % 32);
    in.fill(text.data(), text.size());
    values.push_back(text.c_str());
  }
  write(parent, name, h5::text_type(), rows, values.data());
}

void write_variable_numbers(hid_t parent, const std::string& name, Input& in, hsize_t rows) {
  h5::Handle type = h5::own(H5Tvlen_create(H5T_STD_I64LE), name);
  std::vector<std::vector<std::int64_t>> numbers(rows);
  std::vector<hvl_t> values;
  for (auto& row : numbers) {
    row.resize(in.byte() % 8);
    in.fill(row.data(), row.size() * sizeof(std::int64_t));
    values.push_back({row.size(), row.data()});
  }
  write(parent, name, type, rows, values.data());
}

// Blocks of a column that are stored in other datasets: in this file, in a different file, in none, or one file per
// block.
void write_virtual(hid_t parent, const std::string& name, Input& in, hsize_t rows) {
  constexpr const char* files[] = {".", "source.h5", "part-%b.h5", "gone.h5"};
  constexpr const char* datasets[] = {"values", "prompt", "id", "values-%b", "gone", "other"};
  const hsize_t most = std::max<hsize_t>(rows, 1), unlimited = H5S_UNLIMITED;
  const std::uint8_t form = in.byte();
  h5::Handle space = h5::own(H5Screate_simple(1, &most, form % 2 ? &unlimited : nullptr), name);
  h5::Handle plan = h5::own(H5Pcreate(H5P_DATASET_CREATE), name);
  if (form & 2) {
    const std::int64_t fill = form;
    h5::check(H5Pset_fill_value(plan, H5T_NATIVE_INT64, &fill), name);
  }
  for (int blocks = form / 4 % 4; blocks > 0; --blocks) {
    const std::uint8_t where = in.byte(), what = in.byte();
    const hsize_t start = in.byte() % most, block = 1 + in.byte() % 3, source_rows = in.byte() % 6;
    const hsize_t count = form % 2 && where % 2 ? H5S_UNLIMITED : 1;
    h5::Handle source = h5::own(H5Screate_simple(1, &source_rows, nullptr), name);
    // Columns that HDF5 does not accept are left out.
    if (H5Sselect_hyperslab(space, H5S_SELECT_SET, &start, &block, &count, &block) < 0) continue;
    H5Pset_virtual(plan, space, files[where % 4], datasets[what % 6], source);
  }
  h5::check(H5Sselect_all(space), name);
  const hid_t types[] = {H5T_STD_I64LE, H5T_IEEE_F32LE, h5::text_type()};
  const hid_t made = H5Dcreate2(parent, name.c_str(), types[form / 16 % 3], space, H5P_DEFAULT, plan, H5P_DEFAULT);
  if (made >= 0) H5Dclose(made);
}

// Values in separate files, which may be missing or shorter than declared.
void write_raw(hid_t parent, const std::string& name, Input& in, hsize_t rows) {
  h5::Handle space = h5::own(H5Screate_simple(1, &rows, nullptr), name);
  h5::Handle plan = h5::own(H5Pcreate(H5P_DATASET_CREATE), name);
  for (int files = 1 + in.byte() % 2; files > 0; --files) {
    const std::uint8_t what = in.byte();
    H5Pset_external(plan, what % 4 ? "raw" : "gone", what / 4 % 16, what & 128 ? H5F_UNLIMITED : in.byte());
  }
  const hid_t made = H5Dcreate2(parent, name.c_str(), H5T_STD_I64LE, space, H5P_DEFAULT, plan, H5P_DEFAULT);
  if (made >= 0) H5Dclose(made);
}

void write_link(hid_t parent, const std::string& name, Input& in) {
  constexpr const char* targets[] = {"/values", "/prompt", "/gone", "/id", "/", "prompt/values"};
  const std::uint8_t what = in.byte();
  if (what % 2) {
    H5Lcreate_soft(targets[what / 2 % 6], parent, name.c_str(), H5P_DEFAULT, H5P_DEFAULT);
  } else {
    H5Lcreate_external(what & 64 ? "gone.h5" : "source.h5", targets[what / 2 % 6], parent, name.c_str(), H5P_DEFAULT,
                       H5P_DEFAULT);
  }
}

// add_special_tokens for the whole file, with one value or several.
void write_attribute(hid_t file, Input& in) {
  const std::uint8_t what = in.byte();
  if (what % 4 == 0) return;
  const hsize_t count = 1 + what / 128;
  h5::Handle space = h5::own(H5Screate_simple(1, &count, nullptr), "attribute");
  const hid_t types[] = {H5T_STD_I8LE, H5T_STD_U64BE, H5T_IEEE_F32LE, H5T_STD_I32BE};
  h5::Handle attribute = h5::own(
      H5Acreate2(file, "add_special_tokens", types[what / 4 % 4], space, H5P_DEFAULT, H5P_DEFAULT), "attribute");
  const std::int64_t values[2] = {static_cast<std::int8_t>(in.byte()), 1};
  h5::check(H5Awrite(attribute, H5T_NATIVE_INT64, values), "attribute");
}

// Targets that the columns of prompts.h5 may lead to.
void write_sources(const std::string& folder) {
  const std::array<std::int64_t, 5> values = {5, 1, 7, 2, 3};
  const std::array<const char*, 5> texts = {"a", "", "b c", "d", "e"};
  for (const char* file_name : {"source.h5", "part-0.h5", "part-1.h5"}) {
    h5::Handle file = h5::create_file(folder + "/" + file_name);
    write(file, "values", H5T_NATIVE_INT64, values.size(), values.data());
    write(file, "prompt", h5::text_type(), texts.size(), texts.data());
    file.close(folder + "/" + file_name);
  }
  std::ofstream(folder + "/raw", std::ios::binary).write(reinterpret_cast<const char*>(values.data()), sizeof values);
}

void write_file(const std::string& path, Input& in) {
  const std::array<std::string, 13> names = {
      "prompt", "prompt_token_ids", "id",   "n",    "temperature", "top_p", "top_k",
      "min_p",  "max_tokens",       "seed", "stop", "label",       "other"};
  h5::Handle file = h5::create_file(path);
  hsize_t rows = in.byte() % 6;
  for (int columns = 0; columns < 6 && !in.empty(); columns++) {
    std::uint8_t what = in.byte();
    const std::string& name = names[what % names.size()];
    if (h5::check(H5Lexists(file, name.c_str(), H5P_DEFAULT), name) > 0) continue;  // also a dangling link
    hsize_t own_rows = what > 240 ? in.byte() % 6 : rows;
    switch (in.byte() % 7) {
      case 0: write_variable_text(file, name, in, own_rows); break;
      case 1: write_variable_numbers(file, name, in, own_rows); break;
      case 2: write_plain(file, name, in, own_rows); break;
      case 4: write_virtual(file, name, in, own_rows); break;
      case 5: write_raw(file, name, in, own_rows); break;
      case 6: write_link(file, name, in); break;
      default:
        write_plain(file, name + "/offsets", in, own_rows + 1);
        write_plain(file, name + "/values", in, in.byte());
    }
  }
  write_attribute(file, in);
  file.close(path);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::string folder = [] {
    std::string made = moemill::process_folder("prompts");
    write_sources(made);
    return made;
  }();
  const std::string path = folder + "/p.h5";
  Input in(data, size);
  write_file(path, in);
  moemill::InputSettings input;
  input.path = path;
  try {
    moemill::dataset::PromptFile prompts(input, std::nullopt);
    for (const auto& prompt : prompts.read(0, prompts.size(), {})) {
      moemill::expect(prompt.sampling.n >= 1 && prompt.sampling.top_p > 0, "options are in their ranges");
      moemill::expect(!prompt.text.empty() || !prompt.token_ids.empty() || prompt.fault, "a prompt is something");
    }
    prompts.check_columns({});
    prompts.check_ids();
    const auto contents = prompts.contents();
    moemill::expect(contents.sha256.size() == 64 && !contents.columns.empty(), "columns have a checksum");
  } catch (const moemill::UserError&) {
  }
  return 0;
}
