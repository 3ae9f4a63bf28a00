// Any bytes as a file of `bench calibrate`: refused with a UserError, or a calibration that is the same after writing
// and reading it, and that predicts steps.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <fstream>

#include "base/error.hpp"
#include "plan/calibration/predict.hpp"
#include "process_path.hpp"

namespace {

using namespace moemill;

void write(const std::string& path, const char* bytes, std::size_t size) {
  std::ofstream(path, std::ios::binary).write(bytes, static_cast<std::streamsize>(size));
}

model::ModelConfig small_model() {
  model::ModelConfig config;
  config.hidden = 64, config.layers = 2, config.vocabulary = 100, config.dense_width = 256;
  config.layer_is_moe = {false, true};
  config.attention = model::AttentionKind::Grouped;
  config.gqa.heads = 4, config.gqa.kv_heads = 2, config.gqa.head_dim = 16;
  config.moe.experts = 8, config.moe.picks = 2, config.moe.expert_width = 32;
  return config;
}

void predict(const calibration::Calibration& c) {
  calibration::StepFacts facts;
  facts.prompt = {10, 55}, facts.generated = {3, 1000};
  facts.drawn[0] = 3, facts.rows_of_all_ranks = 26;
  const auto step = calibration::StepPredictor(c, small_model(), {2, 2}).predict(facts);
  expect(step.seconds() >= 0 && std::isfinite(step.seconds()), "a step takes a time, and ends");
  (void)warnings(c, small_model(), {});
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::string path = process_path("calibration");
  write(path, reinterpret_cast<const char*>(data), size);
  try {
    const calibration::Calibration c = calibration::read_calibration(path);
    const std::string text = to_json(c);
    write(path, text.data(), text.size());
    expect(to_json(calibration::read_calibration(path)) == text, "a calibration is read as it is written");
    predict(c);
  } catch (const UserError&) {
  }
  return 0;
}
