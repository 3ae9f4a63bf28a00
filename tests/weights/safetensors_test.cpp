// Model folders that are damaged, hostile or of a different model are refused, with the file and the fault.
#include "weights/files/safetensors.hpp"

#include <doctest/doctest.h>

#include "model/folders.hpp"
#include "weights/cpu/weights.hpp"
#include "weights/stored_model.hpp"

using namespace moemill;
using namespace moemill::model;
using namespace moemill::test;

namespace {

std::string parse_error(const std::string& file) {
  return user_error_of([&] { parse_safetensors("x.safetensors", std::as_bytes(std::span(file.data(), file.size()))); });
}

std::string entry(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return R"({"dtype": ")" + dtype + R"(", "shape": )" + shape + R"(, "data_offsets": )" + offsets + "}";
}

}  // namespace

TEST_CASE("safetensors: a good file") {
  std::string file =
      safetensors(R"({"__metadata__": {"format": "pt"}, "b": )" + entry("F32", "[2, 3]", "[4, 28]") + R"(, "a": )" +
                      entry("BF16", "[2]", "[0, 4]") + R"(, "none": )" + entry("BF16", "[0, 7]", "[4, 4]") +
                      R"(, "scalar": )" + entry("U8", "[]", "[28, 29]") + "}",
                  std::string(29, 'x'));
  auto tensors = parse_safetensors("x", std::as_bytes(std::span(file.data(), file.size())));
  REQUIRE(tensors.size() == 4);
  CHECK(tensors[0].name == "a");
  CHECK(tensors[1].name == "none");
  CHECK(tensors[2].name == "b");
  CHECK(tensors[2].shape == std::vector<std::uint64_t>{2, 3});
  CHECK(tensors[2].offset == file.size() - 25);
  CHECK(tensors[2].length == 24);
  CHECK(tensors[3].length == 1);
}

TEST_CASE("safetensors: hostile and damaged files") {
  struct Row {
    std::string file;
    std::vector<std::string> said;
  };
  const std::string data(16, '\0');
  auto one = [&](const std::string& e) { return safetensors("{\"t\": " + e + "}", data); };
  const Row rows[] = {
      {"", {"0 bytes"}},
      {"1234567", {"7 bytes", "header length"}},
      {length_prefix(std::uint64_t{1} << 62), {"4611686018427387904", "limit"}},
      {length_prefix(~std::uint64_t{0}), {"limit"}},
      {length_prefix(100'000'001) + data, {"limit"}},
      {length_prefix(99'999'999) + data, {"beyond the end", "24 bytes"}},
      {length_prefix(17) + data, {"beyond the end"}},
      {safetensors("", data), {"not valid JSON"}},
      {safetensors("{\"t\": ", data), {"not valid JSON"}},
      {safetensors("{\"t\xff\": 1}", data), {"not valid JSON"}},
      {safetensors(std::string(200000, '['), data), {"not valid JSON"}},
      {safetensors("[]", data), {"not a JSON object"}},
      {safetensors("{}", data), {"16 bytes behind"}},
      {one("3"), {"tensor t", "not a JSON object"}},
      {one("{}"), {"tensor t", "dtype"}},
      {one(entry("BF17", "[8]", "[0, 16]")), {"tensor t", "BF17"}},
      {one(R"({"dtype": "BF16", "data_offsets": [0, 16]})"), {"tensor t", "shape"}},
      {one(entry("BF16", "8", "[0, 16]")), {"tensor t", "shape"}},
      {one(entry("BF16", "[-8]", "[0, 16]")), {"tensor t", "shape"}},
      {one(entry("BF16", "[8.0]", "[0, 16]")), {"tensor t", "shape"}},
      {one(entry("BF16", "[1e99]", "[0, 16]")), {"tensor t", "shape"}},
      {one(entry("BF16", "[8]", "[0]")), {"tensor t", "data_offsets"}},
      {one(entry("BF16", "[8]", "[16, 0]")), {"tensor t", "data_offsets"}},
      {one(entry("BF16", "[8]", "[0, 18446744073709551615]")), {"tensor t", "cut short"}},
      {one(entry("BF16", "[9]", "[0, 18]")), {"tensor t", "byte 18", "16"}},
      {one(entry("BF16", "[7]", "[0, 16]")), {"tensor t", "[7]", "14", "16"}},
      {one(entry("BF16", "[4294967296, 4294967296]", "[0, 16]")), {"tensor t", "too many"}},
      {one(entry("BF16", "[9223372036854775816]", "[0, 16]")), {"tensor t", "too many"}},
      {one(entry("F4", "[3]", "[0, 16]")), {"tensor t", "too many"}},
      {safetensors("{\"a\": " + entry("U8", "[10]", "[0, 10]") + ", \"b\": " + entry("U8", "[8]", "[8, 16]") + "}",
                   data),
       {"tensor b", "overlaps a"}},
      {safetensors("{\"a\": " + entry("U8", "[16]", "[0, 16]") + ", \"b\": " + entry("U8", "[16]", "[0, 16]") + "}",
                   data),
       {"overlaps"}},
      {safetensors("{\"a\": " + entry("U8", "[4]", "[0, 4]") + ", \"b\": " + entry("U8", "[8]", "[8, 16]") + "}", data),
       {"tensor b", "gap", "a"}},
      {safetensors("{\"a\": " + entry("U8", "[8]", "[8, 16]") + "}", data), {"tensor a", "gap", "header"}},
      {safetensors("{\"a\": " + entry("U8", "[8]", "[0, 8]") + "}", data), {"8 bytes behind"}},
      {safetensors("{\"a\": " + entry("U8", "[8]", "[0, 8]") + ", \"a\": " + entry("U8", "[8]", "[8, 16]") + "}", data),
       {"\"a\" twice"}},
      {one(R"({"dtype": "U8", "shape": [16], "shape": [16], "data_offsets": [0, 16]})"), {"\"shape\" twice"}},
  };
  for (const Row& row : rows) {
    CAPTURE(row.file.substr(0, 100));
    std::string message = parse_error(row.file);
    check_contains(message, {"x.safetensors"});
    check_contains(message, row.said);
  }
}

TEST_CASE("safetensors: a file cut at any byte of its header, or anywhere in its data, is refused") {
  std::string file = safetensors({{"a", "BF16", {4}, std::string(8, 'a')}, {"b", "F32", {2, 2}, std::string(16, 'b')}});
  for (std::size_t length = 0; length < file.size(); ++length) CHECK_FALSE(parse_error(file.substr(0, length)).empty());
  CHECK_FALSE(parse_error(file + "x").empty());
}

TEST_CASE("model folder: what is refused") {
  TempDir dir(v3);
  std::vector<std::string> said;
  const fs::path part = dir.path / "model-00002-of-00003.safetensors";
  const fs::path index = dir.path / "model.safetensors.index.json";
  auto edit_index = [&](auto&& change) {
    Json json = read_json(index);
    change(json["weight_map"]);
    write_text(index, json.dump());
  };
  auto keep_only = [&](const char* name) {
    for (const auto& e : fs::directory_iterator(v3)) {
      if (e.path().extension() != ".json" || e.path().stem().extension() == ".index") {
        fs::remove(dir.path / e.path().filename());
        fs::remove(dir.path / "model.safetensors.index.json");
      }
    }
    write_text(dir.path / name, "x");
  };

  SUBCASE("a missing part") {
    fs::remove(part);
    said = {part.string(), "not there"};
  }
  SUBCASE("a cut part") {
    fs::resize_file(part, fs::file_size(part) - 1);
    said = {part.string(), "cut short"};
  }
  SUBCASE("an empty part") {
    fs::resize_file(part, 0);
    said = {part.string(), "0 bytes"};
  }
  SUBCASE("a part that is a Git LFS pointer") {
    write_text(part, "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n");
    said = {part.string(), "is a Git LFS pointer", "git lfs pull"};
  }
  SUBCASE("a part that is a folder") {
    fs::remove(part);
    fs::create_directory(part);
    said = {part.string(), "is a folder, not a file"};
  }
  SUBCASE("an index that is no JSON") {
    write_text(index, "{");
    said = {index.string(), "not valid JSON"};
  }
  SUBCASE("an index without weight_map") {
    write_text(index, "{}");
    said = {index.string(), "weight_map"};
  }
  SUBCASE("an index with an empty weight_map") {
    edit_index([](Json& map) { map = Json::object(); });
    said = {index.string(), "weight_map"};
  }
  SUBCASE("an index that points outside") {
    edit_index([](Json& map) { map["lm_head.weight"] = "../../etc/passwd"; });
    said = {index.string(), "lm_head.weight", "../../etc/passwd", "model folder"};
  }
  SUBCASE("an index with a number for a file") {
    edit_index([](Json& map) { map["lm_head.weight"] = 7; });
    said = {index.string(), "lm_head.weight"};
  }
  SUBCASE("a part of another number, under the name of this one") {
    fs::copy_file(v3 / "model-00001-of-00003.safetensors", part, fs::copy_options::overwrite_existing);
    said = {index.string(), "no tensor", "model-00002-of-00003.safetensors", "in no part"};
  }
  SUBCASE("the same tensor in two parts, of which the index names a third") {
    fs::copy_file(v3 / "model-00001-of-00003.safetensors", part, fs::copy_options::overwrite_existing);
    edit_index([](Json& map) {
      for (auto& file : map) {
        if (file == "model-00001-of-00003.safetensors") file = "model-00003-of-00003.safetensors";
      }
      map["model.ghost.weight"] = "model-00001-of-00003.safetensors";
    });
    said = {"model-00002-of-00003.safetensors", "model-00001-of-00003.safetensors", "as well"};
  }
  SUBCASE("no weights at all") {
    keep_only("notes.txt");
    said = {dir.str(), "model.safetensors", "dummy"};
  }
  SUBCASE("only pytorch_model.bin") {
    keep_only("pytorch_model.bin");
    said = {dir.str(), "found: pytorch_model.bin", "save_pretrained"};
  }
  SUBCASE("only a gguf") {
    keep_only("model-q4.gguf");
    said = {dir.str(), "found: model-q4.gguf"};
  }
  SUBCASE("a link that leads nowhere") {
    fs::create_symlink("/nowhere/at/all", dir.path / "model.safetensors");
    said = {"model.safetensors", "cannot be opened"};
  }
  ModelConfig c = read_config(dir.str());
  check_contains(user_error_of([&] { check_model_files(dir.str(), c, "auto"); }), said);
  check_contains(user_error_of([&] { load_weights(dir.str(), c, contiguous_slices(c, 2), {1}, "auto"); }), said);
}

TEST_CASE(
    "model folder: an index that is wrong about tensors that are not needed, or about their file, is only reported") {
  TempDir dir(v3);
  const fs::path index = dir.path / "model.safetensors.index.json";
  auto edit_index = [&](auto&& change) {
    Json json = read_json(index);
    change(json["weight_map"]);
    write_text(index, json.dump());
  };
  std::vector<std::string> said;
  SUBCASE("it names tensors that are nowhere") {
    edit_index([](Json& map) { map["model.ghost.weight"] = "model-00001-of-00003.safetensors"; });
    said = {index.string(), "1 tensors", "in no part", "none is needed", "model.ghost.weight"};
  }
  SUBCASE("it names a part that is not there and that holds nothing that is needed") {
    edit_index([](Json& map) {
      map["model.layers.61.eh_proj.weight"] = "model-00004-of-00003.safetensors";
      map["model.visual.patch_embed.weight"] = "model-00004-of-00003.safetensors";
    });
    said = {"model-00004-of-00003.safetensors", "not there", "none of its 2 tensors is needed"};
  }
  SUBCASE("it names the wrong part") {
    edit_index([](Json& map) { map["lm_head.weight"] = "model-00001-of-00003.safetensors"; });
    said = {index.string(), "1 tensors are in another part", "lm_head.weight"};
  }
  SUBCASE("a tensor is in two parts, of which it names one") {
    std::vector<RawTensor> head = read_tensors(v3);
    std::erase_if(head, [](const RawTensor& t) { return t.name != "lm_head.weight"; });
    std::fill(head[0].bytes.begin(), head[0].bytes.end(), '\0');
    write_text(dir.path / "a-wrong-copy.safetensors", safetensors(head));
    edit_index([](Json& map) { map["model.extra.weight"] = "a-wrong-copy.safetensors"; });
    said = {index.string(), "model.extra.weight"};
  }
  ModelConfig c = read_config(dir.str());
  const auto warnings = check_model_files(dir.str(), c, "auto");
  REQUIRE(!warnings.empty());
  check_contains(warnings[0], said);
  const Placement placement = contiguous_slices(c, 1);
  Weights changed = load_weights(dir.str(), c, placement, {0}, "auto");
  Weights whole = load_weights(v3.string(), c, placement, {0}, "auto");
  CHECK(changed.digest.replicated == whole.digest.replicated);
  CHECK(changed.digest.experts == whole.digest.experts);
}

TEST_CASE("model folder: tensors that do not fit config.json") {
  TempDir dir;
  std::vector<RawTensor> tensors = read_tensors(v2);
  fs::copy(v2 / "config.json", dir.path / "config.json");
  std::vector<std::string> said;
  SUBCASE("a missing tensor") {
    std::erase_if(tensors, [](const RawTensor& t) { return t.name == "model.layers.2.mlp.experts.9.up_proj.weight"; });
    said = {"model.layers.2.mlp.experts.9.up_proj.weight", "[28, 80]", "config.json"};
  }
  SUBCASE("a wrong shape") {
    RawTensor& t = tensor(tensors, "model.layers.3.mlp.experts.0.down_proj.weight");
    std::swap(t.shape[0], t.shape[1]);
    said = {"model.layers.3.mlp.experts.0.down_proj.weight", "[28, 80]", "[80, 28]"};
  }
  SUBCASE("a wrong rank") {
    tensor(tensors, "model.norm.weight").shape = {80, 1};
    said = {"model.norm.weight", "[80, 1]", "[80]"};
  }
  SUBCASE("a wrong dtype") {
    tensor(tensors, "lm_head.weight").dtype = "I16";
    said = {"lm_head.weight", "I16", "BF16, F16 and F32"};
  }
  SUBCASE("another vocabulary in config.json") {
    write_config(dir, v2, {{"vocab_size", 351}});
    said = {"model.embed_tokens.weight", "[350, 80]", "[351, 80]"};
  }
  SUBCASE("one layer more in config.json") {
    write_config(dir, v2, {{"num_hidden_layers", 5}});
    said = {"model.layers.4.input_layernorm.weight"};
  }
  write_text(dir.path / "model.safetensors", safetensors(tensors));
  said.push_back((dir.path / "model.safetensors").string());
  ModelConfig c = read_config(dir.str());
  check_contains(user_error_of([&] { check_model_files(dir.str(), c, "auto"); }), said);
  // Every rank finds the fault, even if it does not hold the tensor.
  check_contains(user_error_of([&] { load_weights(dir.str(), c, contiguous_slices(c, 10), {5}, "auto"); }), said);
}

TEST_CASE("model folder: an unknown load_format") {
  ModelConfig c = read_config(v2.string());
  check_contains(user_error_of([&] { check_model_files(v2.string(), c, "gguf"); }), {"load_format", "gguf", "dummy"});
}

TEST_CASE("mapped file: a file cut while mapped is an error, not a crash") {
  TempDir dir;
  fs::path path = dir.path / "file";
  write_text(path, std::string(10000, 'x'));
  MappedFile file(path.string());
  CHECK(file.size() == 10000);
  CHECK(static_cast<char>(file.bytes(9999, 1)[0]) == 'x');
  std::vector<std::byte> copy(100);
  file.read(9900, copy);
  CHECK(static_cast<char>(copy.back()) == 'x');
  fs::resize_file(path, 5000);
  CHECK_THROWS_AS(file.bytes(0, 10), SystemError);
  CHECK_NOTHROW(file.read(4900, copy));
  CHECK_THROWS_AS(file.read(4901, copy), SystemError);
  CHECK_THROWS_AS(file.read(9901, copy), ContractViolation);
  CHECK_THROWS_AS(file.bytes(9999, 2), ContractViolation);
  CHECK_THROWS_AS(file.bytes(~std::uint64_t{0}, 2), ContractViolation);
}
