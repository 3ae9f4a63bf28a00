#include "mill/replay.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <map>

#include "base/log.hpp"
#include "base/random.hpp"
#include "mill/config.hpp"
#include "mill/retry.hpp"
#include "mill/small_run.hpp"
#include "model/weights.hpp"

namespace moemill::mill {
namespace {

using dataset::Completion;

// Finished files of the run: outputs.h5 where it is merged, else its shards.
std::vector<std::string> finished_files(const dataset::RunPaths& paths) {
  if (files::exists(paths.outputs())) return {paths.outputs()};
  std::vector<std::string> all;
  for (ShardId shard : dataset::list_run(paths).finished) all.push_back(paths.shard(shard));
  return all;
}

// What a file says of one sample.
struct StoredRow {
  Completion row;
  std::vector<float> score;  // its prompt's log-probabilities, when they are stored
};

StoredRow read_row(const dataset::OutputReader& reader, std::uint64_t row) {
  StoredRow stored{read_completions(reader, row, 1).at(0), {}};
  if (!reader.layout().prompt_logprobs) return stored;
  const std::uint64_t first_prompt = reader.read(0, 1).prompt_index.at(0);  // every prompt has rows
  stored.score = reader.read_scores(stored.row.prompt_index - first_prompt, 1).values;
  return stored;
}

// Up to `count` finished rows, drawn by `seed` with every row equally likely.
std::vector<StoredRow> pick_rows(const std::vector<dataset::OutputReader>& readers, std::uint64_t count,
                                 std::uint64_t seed) {
  struct Place {
    std::uint64_t random;
    std::size_t file;
    std::uint64_t row;
  };
  std::vector<Place> places;
  std::uint64_t counter = 0;
  for (std::size_t f = 0; f < readers.size(); ++f) {
    const auto status = readers[f].read_status(0, readers[f].rows());
    for (std::uint64_t r = 0; r < status.size(); ++r, ++counter) {
      if (status[r] != static_cast<std::uint8_t>(dataset::RowStatus::Ok)) continue;
      const auto words = philox(seed, counter);
      places.push_back({static_cast<std::uint64_t>(words[0]) << 32 | words[1], f, r});
    }
  }
  count = std::min<std::uint64_t>(count, places.size());
  auto end = places.begin() + static_cast<std::ptrdiff_t>(count);
  std::partial_sort(places.begin(), end, places.end(),
                    [](const Place& a, const Place& b) { return a.random < b.random; });
  std::vector<StoredRow> rows;
  for (auto it = places.begin(); it != end; ++it) rows.push_back(read_row(readers[it->file], it->row));
  return rows;
}

template <class T>
bool same_bytes(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

// What differs between the stored row and the one made now, or "".
std::string difference(const StoredRow& before, const StoredRow& again, const dataset::OutputLayout& layout) {
  const Completion &stored = before.row, &now = again.row;
  std::string names;
  auto differs = [&](bool same, const char* name) {
    if (!same) names += (names.empty() ? "" : ", ") + std::string(name);
  };
  differs(stored.status == now.status, "status");
  differs(stored.finish_reason == now.finish_reason, "finish_reason");
  differs(stored.num_prompt_tokens == now.num_prompt_tokens, "num_prompt_tokens");
  differs(stored.seed == now.seed, "seed");
  if (layout.token_ids) differs(same_bytes(stored.token_ids, now.token_ids), "token_ids");
  if (layout.text) differs(stored.text == now.text, "text");
  if (layout.logprobs) {
    differs(
        std::bit_cast<std::uint32_t>(stored.cumulative_logprob) == std::bit_cast<std::uint32_t>(now.cumulative_logprob),
        "cumulative_logprob");
    differs(same_bytes(stored.logprobs, now.logprobs), "logprobs");
    differs(same_bytes(stored.top_ids, now.top_ids) && same_bytes(stored.top_values, now.top_values), "top logprobs");
  }
  if (layout.prompt_logprobs) differs(same_bytes(before.score, again.score), "prompt_logprobs");
  return names;
}

std::vector<SmallJob> jobs_for(const std::vector<StoredRow>& rows, const RunConfig& config, const ModelFolder& model,
                               const dataset::PromptFile& prompts) {
  std::map<std::uint64_t, std::vector<std::uint32_t>> samples;
  for (const auto& [row, score] : rows) samples[row.prompt_index].push_back(row.sample_index);
  std::vector<SmallJob> jobs;
  for (auto& [index, list] : samples) {
    if (index >= prompts.size()) continue;  // verify's own checks have said so
    PreparedPrompt prompt =
        prepare(prompts.read(index, 1, config.sampling).at(0), model.tokenizer_or_null(), prepare_rules(config, model));
    std::sort(list.begin(), list.end());
    if (!prompt.fault) jobs.push_back({std::move(prompt), list});
  }
  return jobs;
}

}  // namespace

std::vector<std::string> replay(const VerifyRunRequest& request, const RunConfig& config,
                                const dataset::PromptFile& prompts) {
  const dataset::RunPaths paths{request.dir};
  std::vector<dataset::OutputReader> readers;
  for (const auto& file : finished_files(paths)) readers.emplace_back(file);
  const std::vector<StoredRow> rows = pick_rows(readers, request.replay, request.seed);
  if (rows.empty()) return {fmt::format("{}: has no finished row to replay", request.dir)};
  const ModelFolder model = open_model(config.model);
  const auto manifest = dataset::read_manifest(paths);
  const auto before = manifest->fingerprints.find("model_sha256");
  if (before != manifest->fingerprints.end() &&
      before->second != model::model_fingerprint(config.model.path, config.model.load_format))
    return {fmt::format("{}: is not the model that made this run (model_sha256 differs); nothing was replayed",
                        config.model.path)};
  GeneratedRows again = generate_alone(config, model, jobs_for(rows, config, model, prompts));
  std::map<std::uint64_t, std::vector<float>> scores;
  for (auto& score : again.scores) scores[score.prompt_index] = std::move(score.logprobs);
  std::map<std::pair<std::uint64_t, std::uint32_t>, StoredRow> made;
  for (auto& row : again.completions) {
    const std::pair key(row.prompt_index, row.sample_index);
    made[key] = {std::move(row), scores[key.first]};
  }
  std::vector<std::string> faults;
  for (const auto& stored : rows) {
    const Completion& row = stored.row;
    auto it = made.find({row.prompt_index, row.sample_index});
    const std::string names =
        it == made.end() ? "the row (its prompt fails now)" : difference(stored, it->second, readers[0].layout());
    if (!names.empty())
      faults.push_back(
          fmt::format("prompt {}, sample {}: replay differs in {}", row.prompt_index, row.sample_index, names));
  }
  fmt::print("replayed {} rows: {} differ\n", rows.size(), faults.size());
  return faults;
}

namespace {

// An archived run is checked without its model, too.
std::optional<std::uint32_t> vocabulary_of(const RunConfig& config) {
  try {
    return model::read_config(config.model.path).vocabulary;
  } catch (const UserError& e) {
    log::warning("token ids are not held against the model's vocabulary: {}", e.what());
    return std::nullopt;
  }
}

}  // namespace

ExitCode verify(const VerifyRunRequest& request) {
  const dataset::RunPaths paths{request.dir};
  if (!dataset::read_manifest(paths))
    user_error("{}: holds no run; give the folder that output.dir named", request.dir);
  const RunConfig config = parse_config(read_text_file(paths.config()), paths.config(), {});
  log::start(log::Level::Warning, 0, 1);
  const dataset::PromptFile prompts = open_prompts(config);
  dataset::VerifyRequest form{request.dir, request.depth, config.sampling, {}, config.output.merge};
  if (request.depth == dataset::VerifyDepth::Deep) form.vocabulary = vocabulary_of(config);
  const dataset::VerifyReport report = dataset::verify_run(form, prompts);
  fmt::print("checked {} rows: {} faults\n", report.rows_checked, report.faults.size());
  std::vector<std::string> faults = report.faults;
  if (request.replay > 0)
    for (auto& fault : replay(request, config, prompts)) faults.push_back(std::move(fault));
  for (const auto& fault : faults) fmt::print("{}\n", fault);
  if (faults.empty()) fmt::print("every row is there exactly once\n");
  return faults.empty() ? ExitCode::Done : ExitCode::Internal;
}

}  // namespace moemill::mill
