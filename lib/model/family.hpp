// The model families: one parser each, which turns the keys of config.json into the plain values of ModelConfig.
// Private to model/; a new family is one file with its parser and one line in the table of config.cpp.
#pragma once

#include <string_view>

#include "model/config.hpp"
#include "model/json_object.hpp"

namespace moemill::model {

struct Family {
  std::string_view model_type;  // as in config.json
  void (*read)(const JsonObject& json, ModelConfig& config);
};

// Largest accepted values: beyond every published model, small enough that no product of them overflows 64 bits.
namespace limits {
constexpr std::uint32_t hidden = 1u << 16;
constexpr std::uint32_t layers = 1u << 10;
constexpr std::uint32_t width = 1u << 18;
constexpr std::uint32_t vocabulary = 1u << 24;
constexpr std::uint32_t positions = 1u << 26;
constexpr std::uint32_t heads = 1u << 10;
constexpr std::uint32_t head_dim = 1u << 10;
constexpr std::uint32_t rank = 1u << 16;
constexpr std::uint32_t experts = 1u << 14;
constexpr std::uint32_t shared = 1u << 6;
}  // namespace limits

// Keys that all families share: sizes, norms, embeddings. Refuses what no family computes yet.
void read_common(const JsonObject& json, ModelConfig& config);

void read_deepseek_v2(const JsonObject& json, ModelConfig& config);
void read_deepseek_v3(const JsonObject& json, ModelConfig& config);

}  // namespace moemill::model
