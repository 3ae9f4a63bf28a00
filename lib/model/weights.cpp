#include "model/weights.hpp"

#include "base/error.hpp"
#include "model/loader.hpp"
#include "model/safetensors.hpp"
#include "system/mapped_file.hpp"

namespace moemill::model {

struct Weights::Storage {
  MappedMemory memory;
};

namespace {

enum class Format { Files, Dummy };

Format parse_format(const std::string& load_format) {
  if (load_format == "auto") return Format::Files;
  if (load_format == "dummy") return Format::Dummy;
  user_error("model.load_format is \"{}\", but must be auto or dummy", load_format);
}

// Every tensor of the model, whoever holds it: all faults and warnings are the same on every rank.
void need_all(FileSource& source, const ModelConfig& config) {
  Loader<FileSource>(source, nullptr, config).walk({config.moe.experts, 1}, {0});
}

template <class Source>
Weights load(Source& source, const ModelConfig& config, const Placement& placement, DomainRank rank) {
  auto storage = std::make_shared<Weights::Storage>();
  storage->memory = MappedMemory(weight_bytes(config, placement, rank), "the model's weights");
  Weights weights = Loader<Source>(source, storage->memory.data(), config).walk(placement, rank);
  expect(weights.bytes == storage->memory.size(), "loader: the measuring and the loading walk agree");
  weights.storage = std::move(storage);
  return weights;
}

}  // namespace

Weights load_weights(const std::string& dir, const ModelConfig& config, const Placement& placement, DomainRank rank,
                     const std::string& load_format) {
  if (parse_format(load_format) == Format::Dummy) {
    DummySource source;
    return load(source, config, placement, rank);
  }
  ModelFiles files(dir);
  FileSource source(files);
  need_all(source, config);
  Weights weights = load(source, config, placement, rank);
  weights.warnings = source.warnings(config.layers);
  return weights;
}

std::uint64_t weight_bytes(const ModelConfig& config, const Placement& placement, DomainRank rank) {
  NoSource nothing;
  return Loader<NoSource>(nothing, nullptr, config).walk(placement, rank).bytes;
}

void check_model_files(const std::string& dir, const ModelConfig& config, const std::string& load_format) {
  if (parse_format(load_format) == Format::Dummy) return;  // needs no files beyond config.json
  ModelFiles files(dir);
  FileSource source(files);
  need_all(source, config);
}

}  // namespace moemill::model
