// Any contents of prompts.h5: refused with a UserError, or prompts that can be read. The input says which columns there
// are, of which types, with which bytes; the file around them is written by HDF5. Its own format is not fuzzed:
// HDF5 1.10 overruns buffers on broken files within seconds, which is the library's to mend (a crash there ends the
// job).
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "dataset/prompts.hpp"
#include "system/h5.hpp"

namespace {

namespace h5 = moemill::h5;

std::string scratch_path() {
  std::filesystem::path base =
      std::filesystem::exists("/dev/shm") ? "/dev/shm" : std::filesystem::temp_directory_path();
  return (base / ("moemill-fuzz-prompts-" + std::to_string(::getpid()) + ".h5")).string();
}

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

// Numbers, or fixed strings, from the input's bytes.
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

void write_file(const std::string& path, Input& in) {
  const std::array<std::string, 13> names = {
      "prompt", "prompt_token_ids", "id",   "n",    "temperature", "top_p", "top_k",
      "min_p",  "max_tokens",       "seed", "stop", "label",       "other"};
  h5::Handle file = h5::create_file(path);
  hsize_t rows = in.byte() % 6;
  for (int columns = 0; columns < 6 && !in.empty(); columns++) {
    std::uint8_t what = in.byte();
    const std::string& name = names[what % names.size()];
    if (h5::exists(file, name)) continue;
    hsize_t own_rows = what > 240 ? in.byte() % 6 : rows;
    switch (in.byte() % 4) {
      case 0: write_variable_text(file, name, in, own_rows); break;
      case 1: write_variable_numbers(file, name, in, own_rows); break;
      case 2: write_plain(file, name, in, own_rows); break;
      default:
        write_plain(file, name + "/offsets", in, own_rows + 1);
        write_plain(file, name + "/values", in, in.byte());
    }
  }
  file.close(path);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::string path = scratch_path();
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
