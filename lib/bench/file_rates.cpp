#include "bench/file_rates.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <vector>

#include "base/clock.hpp"
#include "base/numbers/random.hpp"
#include "bench/steps/cut_model.hpp"
#include "bench/steps/over_ranks.hpp"
#include "dataset/outputs/outputs.hpp"
#include "kernels/cpu/choose_isa.hpp"
#include "model/placement.hpp"
#include "system/comm/agree.hpp"
#include "text/tokenizer.hpp"
#include "weights/cpu/weights.hpp"
#include "weights/stored_model.hpp"

namespace moemill::bench {
namespace {

namespace fs = std::filesystem;

// The mean rate of all ranks.
double mean_rate(const Comm& world, double bytes, double seconds) {
  return over_ranks(world, bytes / std::max(seconds, 1e-9)).mean;
}

// Whether rank 0 says so.
bool first_rank_has(const Comm& world, bool mine) { return gather(world, static_cast<int>(mine)).front() != 0; }

bool has_tokenizer(const std::string& dir) {
  std::error_code unreadable;
  return fs::exists(fs::path(dir) / "tokenizer.json", unreadable) ||
         fs::exists(fs::path(dir) / "tiktoken.model", unreadable);
}

// Words of a usual text in an order that does not repeat, with numbers and punctuation.
std::string made_text(std::size_t bytes) {
  constexpr const char* words[] = {"the",      "of",        "and",    "to",         "in",     "is",       "that",
                                   "for",      "with",      "model",  "experts",    "tokens", "question", "answer",
                                   "because",  "different", "should", "language",   "number", "memory",   "Write",
                                   "Explain",  "following", "list",   "function",   "return", "value",    "between",
                                   "however",  "people",    "world",  "government", "small",  "children", "history",
                                   "computer", "science",   "large",  "example",    "system"};
  std::string text;
  for (std::uint64_t i = 0; text.size() < bytes; ++i) {
    const auto random = philox(7, i);
    if (random[1] % 23 == 0) text += fmt::format("{}", random[2] % 10000);
    text += words[random[0] % std::size(words)];
    text += random[1] % 11 == 0 ? ". " : random[1] % 7 == 0 ? ", " : " ";
  }
  return text;
}

std::vector<dataset::Completion> made_rows(std::uint64_t count) {
  constexpr std::size_t tokens = 256, bytes = 1024;
  std::vector<dataset::Completion> rows(count);
  for (std::uint64_t i = 0; i < count; ++i) {
    dataset::Completion& row = rows[i];
    row.prompt_index = i;
    row.id = static_cast<std::int64_t>(i);
    row.status = dataset::RowStatus::Ok;
    row.finish_reason = FinishReason::Length;
    row.text = made_text(bytes);
    for (std::uint64_t t = 0; t < tokens; ++t) row.token_ids.push_back(static_cast<TokenId>(philox(i, t)[0] % 50000));
    row.num_completion_tokens = tokens;
  }
  return rows;
}

}  // namespace

std::optional<double> measure_loading(const std::string& model_dir, Arithmetic arithmetic, const Comm& world,
                                      ThreadTeam& team, std::uint64_t most_bytes) {
  if (!first_rank_has(world, model::has_weights(model_dir))) return std::nullopt;
  model::ModelConfig config = model::stored_config(model_dir, model::read_config(model_dir), "auto");
  config.arithmetic = arithmetic;
  const auto ranks = static_cast<std::uint32_t>(world.size());
  std::uint32_t layers = config.layers;
  while (layers > 1 && !fits(first_layers(config, layers), ranks, most_bytes)) --layers;
  const model::ModelConfig read = first_layers(config, layers);
  double bytes = 0;
  world.barrier();
  const double start = now_seconds();
  run_on_all_ranks(world, [&] {
    const auto weights = model::load_weights(model_dir, read, model::contiguous_slices(read, ranks),
                                             DomainRank{world.rank()}, "auto", team);
    bytes = static_cast<double>(weights.bytes);
  });
  return mean_rate(world, bytes, now_seconds() - start);
}

double measure_starting(const std::string& model_dir, const Comm& world) {
  world.barrier();
  const double start = now_seconds();
  (void)cpu::choose_isa();
  if (first_rank_has(world, has_tokenizer(model_dir)))
    run_on_all_ranks(world, [&] { (void)text::Tokenizer::load(model_dir); });
  return over_ranks(world, MpiSession::starting_seconds() + now_seconds() - start).mean;
}

std::optional<double> measure_tokenizing(const std::string& model_dir, const Comm& world) {
  if (!first_rank_has(world, has_tokenizer(model_dir))) return std::nullopt;
  std::optional<text::Tokenizer> tokenizer;
  run_on_all_ranks(world, [&] { tokenizer.emplace(text::Tokenizer::load(model_dir)); });
  constexpr std::size_t prompt_bytes = 4096;
  const std::string prompt = made_text(prompt_bytes);
  constexpr double least_seconds = 0.2;
  double bytes = 0;
  world.barrier();
  const double start = now_seconds();
  do {
    (void)tokenizer->encode(prompt, text::AddSpecial::Yes);
    bytes += static_cast<double>(prompt.size());
  } while (now_seconds() - start < least_seconds);
  return mean_rate(world, bytes, now_seconds() - start);
}

std::optional<double> measure_writing(const std::string& dir, const Comm& world) {
  const std::vector<dataset::Completion> rows = made_rows(512);
  double bytes = 0;
  for (const dataset::Completion& row : rows)
    bytes += static_cast<double>(row.text.size() + row.token_ids.size() * sizeof(TokenId));
  const std::string path = (fs::path(dir) / fmt::format(".moemill-calibrate-{}.h5", world.rank())).string();
  world.barrier();
  const double start = now_seconds();
  run_on_all_ranks(world, [&] {
    dataset::OutputSize size;
    size.prompts = size.rows = rows.size(), size.errors = 0;
    dataset::OutputWriter writer(path, dataset::OutputLayout{}, {}, size);
    writer.append(rows);
    writer.publish();
  });
  const double seconds = now_seconds() - start;
  std::error_code ignored;
  fs::remove(path, ignored);
  return mean_rate(world, bytes, seconds);
}

}  // namespace moemill::bench
