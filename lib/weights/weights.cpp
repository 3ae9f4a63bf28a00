#include "weights/weights.hpp"

#include <algorithm>
#include <cstring>

#include "base/error.hpp"
#include "system/files/mapped_file.hpp"
#include "weights/carry_out.hpp"
#include "weights/files/safetensors.hpp"
#include "weights/files/stored_form.hpp"
#include "weights/layout.hpp"
#include "weights/loader.hpp"
#include "weights/stored_matrix.hpp"

namespace moemill::model {

namespace {

enum class Format { Files, Dummy };

Format parse_format(const std::string& load_format) {
  if (load_format == "auto") return Format::Files;
  if (load_format == "dummy") return Format::Dummy;
  user_error("model.load_format is \"{}\", but must be auto or dummy", load_format);
}

// Every tensor of the model, whoever holds it: all faults and warnings are the same on every rank.
LoadPlan all_tensors(const ModelConfig& config) {
  LoadPlan plan;
  CpuLayout counting(nullptr);
  Loader(config, counting, &plan).walk(contiguous_slices(config, 1), {0});
  return plan;
}

// What only the files tell.
ModelConfig with_files(const ModelConfig& config, const ModelFiles& files) {
  ModelConfig stored = as_stored(config, files);
  find_exceptions(stored, files, all_tensors(stored).tensors);
  return stored;
}

// Random weights are bf16, whatever the model's files would have.
ModelConfig without_files(ModelConfig config) {
  config.quantization.keep = false;
  return config;
}

// The rank's weights with their memory still empty, the plan to fill it, and where its pieces go.
struct EmptyWeights {
  Weights weights;
  LoadPlan plan;
  CpuLayout layout;
};

EmptyWeights lay_out(const ModelConfig& config, const Placement& placement, DomainRank rank) {
  auto memory = std::make_shared<const MappedMemory>(weight_bytes(config, placement, rank), "the model's weights");
  EmptyWeights out{{}, {}, CpuLayout(memory->data())};
  out.weights = Loader(config, out.layout, &out.plan).walk(placement, rank);
  expect(out.weights.bytes == memory->size(), "loader: the measuring and the loading walk agree");
  out.weights.storage = std::move(memory);
  return out;
}

// In the order of the files, so that a disk is read from front to back.
void sort_pieces(LoadPlan& plan, const FileSource& source) {
  std::vector<std::pair<std::pair<std::uint32_t, std::uint64_t>, std::uint32_t>> order;
  order.reserve(plan.pieces.size());
  for (const Piece& piece : plan.pieces) {
    order.emplace_back(source.position(piece), static_cast<std::uint32_t>(order.size()));
  }
  std::sort(order.begin(), order.end());
  std::vector<Piece> sorted;
  sorted.reserve(order.size());
  for (const auto& [position, index] : order) sorted.push_back(plan.pieces[index]);
  plan.pieces = std::move(sorted);
}

// A head of its own under tied embeddings: transformers leaves the two untied when they differ.
void check_tied_head(const ModelFiles& files, const TensorNames& names) {
  const TensorInfo* table = files.find(names.body + "embed_tokens.weight");
  const TensorInfo* head = files.find(names.head + ".weight");
  if (table == nullptr || head == nullptr) return;
  bool same = table->dtype == head->dtype && table->length == head->length;
  std::vector<std::byte> left(1u << 20), right(left.size());
  for (std::uint64_t at = 0; same && at < head->length; at += left.size()) {
    const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(left.size(), head->length - at));
    files.file(*table).read(table->offset + at, {left.data(), count});
    files.file(*head).read(head->offset + at, {right.data(), count});
    same = std::memcmp(left.data(), right.data(), count) == 0;
  }
  if (!same) {
    user_error(
        "{}: differs from {}, but \"tie_word_embeddings\" in config.json says that they are one; set it to false to "
        "use "
        "both",
        files.place(*head), table->name);
  }
}

}  // namespace

Weights load_weights(const std::string& dir, const ModelConfig& config, const Placement& placement, DomainRank rank,
                     const std::string& load_format, ThreadTeam& team, const std::function<void()>& between) {
  const Announce announce = rank.value == 0 ? Announce::Progress : Announce::Nothing;
  if (parse_format(load_format) == Format::Dummy) {
    EmptyWeights empty = lay_out(without_files(config), placement, rank);
    carry_out(empty.plan, empty.layout, DummySource(empty.plan), team, announce, between);
    return std::move(empty.weights);
  }
  const ModelFiles files(dir);
  const ModelConfig stored = with_files(config, files);
  FileSource(files, all_tensors(stored), stored.quantization);  // every rank finds the same faults
  EmptyWeights empty = lay_out(stored, placement, rank);
  const FileSource source(files, empty.plan, stored.quantization);
  sort_pieces(empty.plan, source);
  empty.weights.digest = carry_out(empty.plan, empty.layout, source, team, announce, between);
  return std::move(empty.weights);
}

Weights load_weights(const std::string& dir, const ModelConfig& config, const Placement& placement, DomainRank rank,
                     const std::string& load_format) {
  ThreadTeam alone(1);
  return load_weights(dir, config, placement, rank, load_format, alone);
}

std::uint64_t weight_bytes(const ModelConfig& config, const Placement& placement, DomainRank rank) {
  CpuLayout counting(nullptr);
  return Loader(config, counting, nullptr).walk(placement, rank).bytes;
}

HeldWeights held_weights(const ModelConfig& config) {
  CpuLayout counting(nullptr);
  Loader(config, counting, nullptr).walk(contiguous_slices(config, 1), {0});
  return counting.held();
}

ModelConfig stored_config(const std::string& dir, const ModelConfig& config, const std::string& load_format) {
  return parse_format(load_format) == Format::Dummy ? without_files(config) : with_files(config, ModelFiles(dir));
}

std::vector<std::string> check_model_files(const std::string& dir, const ModelConfig& config,
                                           const std::string& load_format) {
  if (parse_format(load_format) == Format::Dummy) return {};  // needs no files beyond config.json
  const ModelFiles files(dir);
  const ModelConfig stored = with_files(config, files);
  if (stored.tied_embeddings) check_tied_head(files, stored.names);
  return FileSource(files, all_tensors(stored), stored.quantization).warnings(stored);
}

}  // namespace moemill::model
