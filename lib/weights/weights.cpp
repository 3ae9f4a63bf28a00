#include "weights/weights.hpp"

#include <algorithm>
#include <cstring>

#include "base/error.hpp"
#include "system/files/mapped_file.hpp"
#include "weights/carry_out.hpp"
#include "weights/files/safetensors.hpp"
#include "weights/files/stored_form.hpp"
#include "weights/loader.hpp"

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
  Loader(config, nullptr, &plan).walk(contiguous_slices(config, 1), {0});
  return plan;
}

// The rank's weights, their memory still empty.
Weights make_room(const ModelConfig& config, const Placement& placement, DomainRank rank, LoadPlan& plan) {
  auto memory = std::make_shared<const MappedMemory>(weight_bytes(config, placement, rank), "the model's weights");
  Weights weights = Loader(config, memory->data(), &plan).walk(placement, rank);
  expect(weights.bytes == memory->size(), "loader: the measuring and the loading walk agree");
  weights.storage = std::move(memory);
  return weights;
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
  LoadPlan plan;
  if (parse_format(load_format) == Format::Dummy) {
    Weights weights = make_room(config, placement, rank, plan);
    carry_out(plan, DummySource(plan), team, announce, between);
    return weights;
  }
  const ModelFiles files(dir);
  const ModelConfig stored = as_stored(config, files);
  FileSource(files, all_tensors(stored), stored.quantization);  // every rank finds the same faults
  Weights weights = make_room(stored, placement, rank, plan);
  const FileSource source(files, plan, stored.quantization);
  sort_pieces(plan, source);
  weights.digest = carry_out(plan, source, team, announce, between);
  return weights;
}

Weights load_weights(const std::string& dir, const ModelConfig& config, const Placement& placement, DomainRank rank,
                     const std::string& load_format) {
  ThreadTeam alone(1);
  return load_weights(dir, config, placement, rank, load_format, alone);
}

std::uint64_t weight_bytes(const ModelConfig& config, const Placement& placement, DomainRank rank) {
  return Loader(config, nullptr, nullptr).walk(placement, rank).bytes;
}

ModelConfig stored_config(const std::string& dir, const ModelConfig& config, const std::string& load_format) {
  return parse_format(load_format) == Format::Dummy ? config : as_stored(config, ModelFiles(dir));
}

std::vector<std::string> check_model_files(const std::string& dir, const ModelConfig& config,
                                           const std::string& load_format) {
  if (parse_format(load_format) == Format::Dummy) return {};  // needs no files beyond config.json
  const ModelFiles files(dir);
  const ModelConfig stored = as_stored(config, files);
  if (stored.tied_embeddings) check_tied_head(files, stored.names);
  return FileSource(files, all_tensors(stored), stored.quantization).warnings(stored);
}

}  // namespace moemill::model
