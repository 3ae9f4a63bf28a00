// The first byte chooses, modulo 9. 0: the rest as a safetensors file: refused with a UserError, or tensors that lie
// inside it, one after another. 7: the rest as the index of a folder with two parts. 8: the rest chooses names and
// types of tensors, which show how a folder stores its model. Any other: a complete model of fused or FP8 experts
// (scales per block, row or matrix; transformers 5's two tensors per layer) whose tensors the rest changes (left out,
// with a different dtype or shape, any bytes as values): refused with a UserError, or loaded, and then every MXFP4
// weight is finite.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <nlohmann/json.hpp>
#include <span>
#include <string>

#include "base/error.hpp"
#include "process_path.hpp"
#include "weights/cpu/weights.hpp"
#include "weights/files/safetensors.hpp"
#include "weights/files/stored_form.hpp"
#include "weights/tensor_list.hpp"

namespace {

using namespace moemill;
using namespace moemill::model;

void parse_alone(std::span<const std::byte> bytes) {
  std::uint64_t held = 0;
  for (const TensorInfo& tensor : parse_safetensors("fuzz", bytes)) {
    expect(tensor.offset <= bytes.size() && tensor.length <= bytes.size() - tensor.offset, "tensor is inside the file");
    held += tensor.length;
  }
  expect(held <= bytes.size(), "tensors do not overlap");
}

// The input, byte by byte, followed by zeros.
class Choices {
 public:
  explicit Choices(std::span<const std::uint8_t> bytes) : bytes_(bytes) {}
  std::uint8_t next() { return at_ < bytes_.size() ? bytes_[at_++] : std::uint8_t{0}; }
  std::string values(std::uint64_t count) {
    std::string text;
    for (std::uint64_t i = 0; i < count; ++i) text += static_cast<char>(next());
    return text;
  }

 private:
  std::span<const std::uint8_t> bytes_;
  std::size_t at_ = 0;
};

// The properties that only the file shows: names of the scales and what they cover, experts one by one or fused.
enum class Scales { Blocks, Rows, Matrix };
struct Form {
  WeightFormat format = WeightFormat::Plain;
  Scales scales = Scales::Blocks;
  ExpertStorage experts = ExpertStorage::Separate;
};

ModelConfig small_model(WeightFormat format) {
  ModelConfig c;
  c.hidden = 32, c.layers = 1, c.vocabulary = 3, c.layer_is_moe = {true};
  c.attention = AttentionKind::Grouped;
  c.gqa.heads = c.gqa.kv_heads = 1, c.gqa.head_dim = 2, c.gqa.sinks = c.gqa.out_bias = true;
  c.moe.experts = 3, c.moe.picks = 1, c.moe.expert_width = 32;
  c.quantization = {format, 5, 7};
  if (format != WeightFormat::Fp8) {
    c.names.experts = ExpertStorage::Fused;
    c.moe.expert_bias = c.moe.router_bias = true;
  }
  return c;
}

struct File {
  nlohmann::json header = nlohmann::json::object();
  std::string data;

  void add(const std::string& name, std::string dtype, std::vector<std::uint64_t> shape, std::uint64_t value_bytes,
           Choices& choices) {
    const std::uint8_t bend = choices.next();
    if (bend == 1) return;
    if (bend == 2) dtype = "U8", value_bytes = 1;
    if (bend == 3) dtype = "F8_E4M3", value_bytes = 1;
    if (bend == 4) dtype = "F32", value_bytes = 4;
    if (bend == 5) dtype = "F16", value_bytes = 2;
    if (bend == 6) shape.push_back(1);
    if (bend == 7) shape[0] += 1;
    std::uint64_t length = value_bytes;
    for (std::uint64_t extent : shape) length *= extent;
    header[name] = {{"dtype", dtype}, {"shape", shape}, {"data_offsets", {data.size(), data.size() + length}}};
    data += choices.values(length);
  }

  std::string text() const {
    const std::string json = header.dump();
    std::string all;
    for (int i = 0; i < 8; ++i) all += static_cast<char>(json.size() >> (8 * i));
    return all + json + data;
  }
};

void add_fp8(File& file, const WantedTensor& t, Scales scales, Choices& choices) {
  std::vector<std::uint64_t> shape = t.shape;
  std::uint64_t &rows = shape[shape.size() - 2], &columns = shape.back();
  if (scales == Scales::Blocks) rows = (rows + 4) / 5, columns = (columns + 6) / 7;
  if (scales != Scales::Blocks) columns = 1;
  if (scales == Scales::Matrix) rows = 1;
  file.add(t.name + (scales == Scales::Blocks ? "_scale_inv" : "_scale"), "F32", shape, 4, choices);
  file.add(t.name, "F8_E4M3", t.shape, 1, choices);
}

std::string make_file(const Form& form, const std::vector<WantedTensor>& tensors, Choices choices) {
  File file;
  for (const WantedTensor& t : tensors) {
    std::vector<std::uint64_t> shape = t.shape;
    if (t.content == Content::Mxfp4) {
      shape.back() /= 32;
      file.add(t.name + "_scales", "U8", shape, 1, choices);
      shape.push_back(16);
      file.add(t.name + "_blocks", "U8", shape, 1, choices);
    } else if (form.format == WeightFormat::Fp8 && t.content == Content::Matrix) {
      add_fp8(file, t, form.scales, choices);
    } else {
      file.add(t.name, "BF16", shape, 2, choices);
    }
  }
  return file.text();
}

const std::string& folder() {
  static const std::string path = process_folder("weights");
  return path;
}

void add_empty(File& file, const std::string& name, const std::string& dtype, std::uint64_t value_bytes) {
  file.header[name] = {
      {"dtype", dtype}, {"shape", {1}}, {"data_offsets", {file.data.size(), file.data.size() + value_bytes}}};
  file.data.append(value_bytes, '\0');
}

// Two parts with the same name, as parts of several downloads may have.
const std::string& folder_of_parts() {
  static const std::string path = [] {
    std::string dir = process_folder("parts");
    for (const auto& [part, names] : {std::pair("a", std::vector{"model.embed_tokens.weight", "twice"}),
                                      {"b", std::vector{"lm_head.weight", "model.norm.weight", "twice"}}}) {
      File file;
      for (const char* name : names) add_empty(file, name, "BF16", 2);
      std::ofstream(dir + "/" + part + ".safetensors", std::ios::binary) << file.text();
    }
    return dir;
  }();
  return path;
}

void read_index(std::string_view text) {
  std::ofstream(folder_of_parts() + "/model.safetensors.index.json", std::ios::binary) << text;
  const ModelFiles files(folder_of_parts());
  for (const TensorInfo& tensor : files.tensors()) {
    const TensorInfo* found = files.find(tensor.name);
    expect(found != nullptr && files.bytes(*found).size() == 2, "a tensor of a part is found by its name");
    expect(files.why_missing(tensor.name).empty(), "what is there is not missed");
  }
  for (const std::string& line : files.index_faults()) expect(!line.empty(), "a fault is reported");
}

// Names that tools give to the same tensors, in any combination.
void find_form(Choices choices) {
  constexpr const char* bodies[] = {"", "model.", "model.language_model.", "language_model.model.", ".", "x"};
  constexpr const char* names[] = {"embed_tokens.weight",
                                   "lm_head.weight",
                                   "layers.0.input_layernorm.weight",
                                   "layers.0.mlp.gate.weight",
                                   "layers.0.mlp.experts.gate_up_proj",
                                   "layers.0.mlp.experts.0.gate_proj.weight",
                                   "layers.0.block_sparse_moe.gate.weight",
                                   "layers.0.block_sparse_moe.experts.0.w1.weight",
                                   ""};
  File file;
  for (std::uint8_t count = choices.next() % 12; count > 0; --count) {
    const std::uint8_t which = choices.next();
    std::string name = bodies[which % std::size(bodies)];
    name += names[choices.next() % std::size(names)];
    which < 128 ? add_empty(file, name, "BF16", 2) : add_empty(file, name, "F32", 4);
  }
  std::ofstream(folder() + "/model.safetensors", std::ios::binary) << file.text();
  const ModelFiles files(folder());
  for (const char* moe : {"mlp", "block_sparse_moe"}) {
    ModelConfig config = small_model(WeightFormat::Plain);
    config.names.experts = ExpertStorage::Separate;
    config.names.moe = moe;
    const ModelConfig stored = as_stored(config, files);
    expect(stored.names.body == config.names.body || files.find(stored.names.body + "embed_tokens.weight") != nullptr,
           "another body is one that is there");
    const ModelConfig again = as_stored(stored, files);
    expect(again.names.body == stored.names.body && again.names.head == stored.names.head &&
               again.names.moe == stored.names.moe && again.names.experts == stored.names.experts,
           "what is found is found again");
  }
}

void load_bent(const Form& form, Choices choices) {
  const ModelConfig config = small_model(form.format);
  ModelConfig stored = config;
  if (form.format == WeightFormat::Fp8) stored.names.experts = form.experts;
  std::ofstream(folder() + "/model.safetensors", std::ios::binary) << make_file(form, all_tensors(stored), choices);
  const Weights weights = load_weights(folder(), config, contiguous_slices(config, 2), {1}, "auto");
  expect(weights.layers.front().moe.experts.size() == 2, "the rank has its experts");
  if (form.format != WeightFormat::Mxfp4) return;  // plain values, also in an FP8 model, are used as they are
  for (const MlpWeights& expert : weights.layers.front().moe.experts) {
    for (const cpu::Matrix& w : {expert.gate_up, expert.down}) {
      for (std::uint32_t i = 0; i < w.k; ++i) {
        for (std::uint32_t j = 0; j < w.n; ++j) {
          expect(std::isfinite(to_float(cpu::packed_at(w, i, j))), "decoded weights are finite");
        }
      }
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::span<const std::uint8_t> rest(data + 1, size - 1);
  try {
    switch (data[0] % 9) {
      case 0: parse_alone(std::as_bytes(rest)); break;
      case 1: load_bent({WeightFormat::Plain}, Choices(rest)); break;
      case 2: load_bent({WeightFormat::Fp8}, Choices(rest)); break;
      case 3: load_bent({WeightFormat::Mxfp4}, Choices(rest)); break;
      case 4: load_bent({WeightFormat::Fp8, Scales::Rows}, Choices(rest)); break;
      case 5: load_bent({WeightFormat::Fp8, Scales::Blocks, ExpertStorage::FusedHalves}, Choices(rest)); break;
      case 7: read_index({reinterpret_cast<const char*>(rest.data()), rest.size()}); break;
      case 8: find_form(Choices(rest)); break;
      default: load_bent({WeightFormat::Fp8, Scales::Matrix, ExpertStorage::FusedHalves}, Choices(rest));
    }
  } catch (const moemill::UserError&) {
  }
  return 0;
}
