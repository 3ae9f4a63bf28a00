// Model folders for tests: copies of the small ones in tests/data, changed in one place, and safetensors files made
// byte by byte, good and bad.
#pragma once

#include <doctest/doctest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/numbers/bf16.hpp"
#include "support/temp_dir.hpp"

namespace moemill::test {

namespace fs = std::filesystem;
using Json = nlohmann::json;

inline const fs::path models = fs::path(MOEMILL_TEST_DATA) / "models";
inline const fs::path v2 = models / "deepseek_v2_lite";
inline const fs::path v3 = models / "deepseek_v3";

inline std::string read_text(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream text;
  text << in.rdbuf();
  REQUIRE(in.good());
  return text.str();
}

inline void write_text(const fs::path& path, const std::string& text) {
  std::ofstream out(path, std::ios::binary);
  out << text;
  REQUIRE(out.good());
}

inline Json read_json(const fs::path& path) { return Json::parse(read_text(path)); }

// A copy of `from`/config.json alone with a merge patch applied (null removes a key).
inline void write_config(const TempDir& dir, const fs::path& from, const Json& patch) {
  Json config = read_json(from / "config.json");
  config.merge_patch(patch);
  write_text(dir.path / "config.json", config.dump());
}

struct RawTensor {
  std::string name, dtype;
  std::vector<std::uint64_t> shape;
  std::string bytes;
};

inline std::string length_prefix(std::uint64_t length) {
  std::string text(8, '\0');
  for (std::size_t i = 0; i < 8; ++i) text[i] = static_cast<char>(length >> (8 * i));
  return text;
}

// A whole safetensors file from a header as text and the data behind it.
inline std::string safetensors(const std::string& header, const std::string& data) {
  return length_prefix(header.size()) + header + data;
}

inline std::string safetensors(const std::vector<RawTensor>& tensors) {
  Json header = Json::object();
  std::string data;
  for (const RawTensor& t : tensors) {
    header[t.name] = {
        {"dtype", t.dtype}, {"shape", t.shape}, {"data_offsets", {data.size(), data.size() + t.bytes.size()}}};
    data += t.bytes;
  }
  return safetensors(header.dump(), data);
}

// All tensors of a folder, read by nothing but this function: the oracle for the loader.
inline std::vector<RawTensor> read_tensors(const fs::path& dir) {
  std::vector<RawTensor> tensors;
  for (const auto& entry : fs::directory_iterator(dir)) {
    if (entry.path().extension() != ".safetensors") continue;
    std::string file = read_text(entry.path());
    std::uint64_t length = 0;
    std::memcpy(&length, file.data(), 8);
    Json header = Json::parse(file.substr(8, length));
    for (const auto& [name, t] : header.items()) {
      if (name == "__metadata__") continue;
      std::uint64_t begin = t["data_offsets"][0], end = t["data_offsets"][1];
      tensors.push_back({name, t["dtype"], t["shape"], file.substr(8 + length + begin, end - begin)});
    }
  }
  return tensors;
}

inline RawTensor& tensor(std::vector<RawTensor>& tensors, const std::string& name) {
  for (RawTensor& t : tensors) {
    if (t.name == name) return t;
  }
  FAIL("test folder has no tensor " << name);
  return tensors.front();
}

inline bf16 bf16_at(const RawTensor& t, std::size_t i) {
  bf16 x;
  std::memcpy(&x, t.bytes.data() + 2 * i, 2);
  return x;
}

// The message of the UserError that `body` throws; fails the test where it throws none.
template <class Body>
std::string user_error_of(Body&& body) {
  try {
    body();
  } catch (const UserError& e) {
    return e.what();
  }
  FAIL_CHECK("no UserError was thrown");
  return "";
}

inline void check_contains(const std::string& text, const std::vector<std::string>& parts) {
  for (const std::string& part : parts) {
    CAPTURE(text);
    CAPTURE(part);
    CHECK(text.find(part) != std::string::npos);
  }
}

}  // namespace moemill::test
