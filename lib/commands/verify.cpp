#include "commands/verify.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <compare>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <queue>
#include <utility>

#include "base/log.hpp"
#include "base/numbers/random.hpp"
#include "base/readable.hpp"
#include "base/text/format.hpp"
#include "config/config.hpp"
#include "dataset/reopen/finished_rows.hpp"
#include "dataset/seal.hpp"
#include "generate/small_run.hpp"
#include "job/run_setup.hpp"
#include "mill/summary.hpp"
#include "system/comm/agree.hpp"
#include "weights/stored_model.hpp"

namespace moemill::mill {
namespace {

using dataset::Completion;

// The finished files of the run: outputs.h5 if it is merged, else its shards. HDF5 may crash on a file whose seal is
// broken, so such a run is refused.
std::vector<std::string> sound_files(const dataset::RunPaths& paths, const dataset::VerifyReport& report) {
  const auto& whole = report.whole_files;
  if (!whole.empty() && whole[0] == paths.outputs()) return {paths.outputs()};
  if (!report.broken_files.empty())
    system_error("{}: is damaged or cannot be read: nothing was replayed", report.broken_files[0]);
  return whole;
}

// The values that a file stores for one sample.
struct StoredRow {
  Completion row;
  std::vector<float> score;            // its prompt's log-probabilities, when they are stored
  std::vector<TokenId> prompt_tokens;  // its prompt's tokens, when they are stored
};

std::pair<std::uint64_t, std::uint32_t> key_of(const StoredRow& stored) {
  return {stored.row.prompt_index, stored.row.sample_index};
}

StoredRow read_row(const dataset::OutputReader& reader, std::uint64_t row) {
  StoredRow stored{reader.read(row, 1).at(0), {}, {}};
  const std::uint64_t prompt = stored.row.prompt_index - reader.read_prompts(0, 1).at(0);  // every prompt has rows
  auto read = [&](const auto& field, auto& values) {
    if (reader.layout().*field.flag) values = reader.read(field, prompt, 1).values;
  };
  read(dataset::prompt_logprobs, stored.score);
  read(dataset::prompt_token_ids, stored.prompt_tokens);
  return stored;
}

// The place of a drawn row, and the random number that drew it.
struct Place {
  std::uint64_t random;
  std::size_t file;
  std::uint64_t row;
  friend auto operator<=>(const Place&, const Place&) = default;
};

// Draws up to `count` finished rows by `seed`, every row equally likely. Opens one file at a time and keeps at most
// `count` places and a block of rows in memory.
std::vector<Place> draw_places(const std::vector<std::string>& files, std::uint64_t count, std::uint64_t seed) {
  constexpr std::uint64_t block = 1 << 20;
  std::priority_queue<Place> drawn;  // the smallest random numbers so far, the largest of them on top
  std::uint64_t counter = 0;
  for (std::size_t f = 0; f < files.size(); ++f) {
    const dataset::OutputReader reader(files[f]);
    for (std::uint64_t first = 0; first < reader.rows(); first += block) {
      const auto status = reader.read_status(first, std::min(block, reader.rows() - first));
      for (std::uint64_t r = 0; r < status.size(); ++r, ++counter) {
        if (status[r] != static_cast<std::uint8_t>(dataset::RowStatus::Ok)) continue;
        const auto words = philox(seed, counter);
        drawn.push({static_cast<std::uint64_t>(words[0]) << 32 | words[1], f, first + r});
        if (drawn.size() > count) drawn.pop();
      }
    }
  }
  std::vector<Place> places;
  for (; !drawn.empty(); drawn.pop()) places.push_back(drawn.top());
  return places;
}

// The drawn rows as JSON, to be sent to all ranks: path below the run directory -> rows.
std::string drawn_rows(const VerifyRunRequest& request, const dataset::VerifyReport& report) {
  const auto files = sound_files(dataset::RunPaths{request.dir}, report);
  nlohmann::json rows = nlohmann::json::object();
  for (const Place& place : draw_places(files, request.replay, request.seed))
    rows[files[place.file].substr(request.dir.size())].push_back(place.row);
  if (rows.empty()) system_error("{}: has no finished row to replay", request.dir);
  return rows.dump();
}

template <class T>
bool same_bytes(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

// The fields that differ between the stored row and the one generated now, or "".
std::string difference(const StoredRow& before, const StoredRow& again, const dataset::OutputLayout& layout) {
  std::string names = dataset::differing_columns(before.row, again.row, layout);
  auto compare = [&](const auto& field, bool same) {
    if (layout.*field.flag && !same) names += (names.empty() ? "" : ", ") + std::string(field.group);
  };
  compare(dataset::prompt_logprobs, same_bytes(before.score, again.score));
  compare(dataset::prompt_token_ids, before.prompt_tokens == again.prompt_tokens);
  return names;
}

// The rows to replay, the same on all ranks: each rank reads the rows that rank 0 has drawn.
struct Replay {
  ModelFolder model;
  dataset::OutputLayout layout;
  std::vector<StoredRow> rows;  // in the order of prompts and samples
  std::vector<SmallJob> jobs;   // one per prompt, in order; none for a prompt that fails now
};

std::vector<SmallJob> jobs_for(const std::vector<StoredRow>& rows, const RunConfig& config, const ModelFolder& model,
                               const dataset::PromptFile& prompts) {
  std::vector<SmallJob> jobs;
  for (const auto& [row, score, tokens] : rows) {
    if (row.prompt_index >= prompts.size()) continue;  // verify's own checks report it
    if (jobs.empty() || jobs.back().prompt.index != row.prompt_index)
      jobs.push_back({prepare(prompts.read(row.prompt_index, 1, config.sampling).at(0), model.tokenizer_or_null(),
                              prepare_rules(config, model)),
                      {}});
    auto& samples = jobs.back().samples;
    if (samples.empty() || samples.back() != row.sample_index) samples.push_back(row.sample_index);  // a duplicate row
  }
  std::erase_if(jobs, [](const SmallJob& job) { return job.prompt.fault.has_value(); });
  return jobs;
}

void check_model(const RunConfig& config, const dataset::RunManifest& manifest, const std::string& name,
                 const std::string& now) {
  const auto before = manifest.fingerprints.find(name);
  if (before == manifest.fingerprints.end() || before->second == now) return;
  system_error("{}: is not the model that made this run ({} differs); nothing was replayed", config.model.path, name);
}

Replay read_replay(const VerifyRunRequest& request, const RunConfig& config, const dataset::RunManifest& manifest,
                   const dataset::PromptFile& prompts, const nlohmann::json& drawn) {
  if (const std::string differs = differing_arithmetic(manifest); !differs.empty())
    user_error("{}: {}; replay it with the moemill that made it", request.dir, differs);
  ModelSettings settings = config.model;
  settings.expert_sum.reset();
  Replay replay{open_model(settings, expert_sum_of_run(manifest)), {}, {}, {}};
  check_model(config, manifest, "model_sha256", model::model_fingerprint(config.model.path, config.model.load_format));
  check_model(config, manifest, "tokenizer_sha256", replay.model.tokenizer_sha256());
  for (const auto& [file, rows] : drawn.items()) {
    const dataset::OutputReader reader(request.dir + file);
    replay.layout = reader.layout();
    for (const auto& row : rows) replay.rows.push_back(read_row(reader, row.get<std::uint64_t>()));
  }
  std::sort(replay.rows.begin(), replay.rows.end(),
            [](const StoredRow& a, const StoredRow& b) { return key_of(a) < key_of(b); });
  replay.jobs = jobs_for(replay.rows, config, replay.model, prompts);
  return replay;
}

bool is_of(const StoredRow& stored, std::span<const SmallJob> jobs) {
  const auto at = std::lower_bound(jobs.begin(), jobs.end(), stored.row.prompt_index,
                                   [](const SmallJob& job, std::uint64_t prompt) { return job.prompt.index < prompt; });
  return at != jobs.end() && at->prompt.index == stored.row.prompt_index;
}

// One line for each row of these jobs that differs, and on rank 0 also for each row that has no job.
std::string compare(const Replay& replay, std::span<const SmallJob> mine, GeneratedRows again, int rank) {
  std::map<std::uint64_t, std::vector<float>> scores;
  for (auto& score : again.scores) scores[score.prompt_index] = std::move(score.logprobs);
  std::map<std::pair<std::uint64_t, std::uint32_t>, StoredRow> made;
  for (auto& row : again.completions) {
    const std::pair key(row.prompt_index, row.sample_index);
    dataset::fit_to_layout(row, replay.layout);
    made[key] = {std::move(row), scores[key.first], {}};
  }
  for (auto& [key, row] : made)
    for (const SmallJob& job : mine)
      if (job.prompt.index == key.first) row.prompt_tokens = job.prompt.tokens;
  std::string lines;
  for (const auto& stored : replay.rows) {
    const bool has_job = is_of(stored, replay.jobs);
    if (has_job ? !is_of(stored, mine) : rank != 0) continue;
    const std::string names =
        has_job ? difference(stored, made.at(key_of(stored)), replay.layout) : "the row (its prompt fails now)";
    if (!names.empty())
      lines += fmt::format("prompt {}, sample {}: replay differs in {}\n", stored.row.prompt_index,
                           stored.row.sample_index, names);
  }
  return lines;
}

// Prints the rows that differ, one line each, on rank 0. Returns how many there are.
std::uint64_t replay_rows(const Comm& world, const VerifyRunRequest& request, const RunConfig& config,
                          const dataset::RunManifest& manifest, const dataset::PromptFile& prompts,
                          const dataset::VerifyReport& report) {
  std::string drawn;
  run_on_rank_zero(world, [&] { drawn = drawn_rows(request, report); });
  drawn = broadcast_text(world, drawn, 0);
  std::optional<Replay> replay;
  run_on_all_ranks(
      world, [&] { replay.emplace(read_replay(request, config, manifest, prompts, nlohmann::json::parse(drawn))); });
  auto same_weights = [&](const Engine& engine) {
    check_model(config, manifest, weights_fingerprint, engine.weights_digest());
  };
  GeneratedRows again;
  if (!replay->jobs.empty()) again = generate_rows(world, config, replay->model, replay->jobs, same_weights);
  const std::string mine =
      compare(*replay, share_of(world, std::span(std::as_const(replay->jobs))), std::move(again), world.rank());
  std::string lines;
  for (int rank = 0; rank < world.size(); ++rank) lines += broadcast_text(world, mine, rank);
  const auto count = static_cast<std::uint64_t>(std::count(lines.begin(), lines.end(), '\n'));
  if (world.rank() == 0) fmt::print("replayed {} rows: {} differ\n{}", replay->rows.size(), count, lines);
  return count;
}

// The model's vocabulary size; nothing if the model is absent, because archived runs are checked without it.
std::optional<std::uint32_t> vocabulary_of(const RunConfig& config) {
  try {
    return model::read_config(config.model.path).vocabulary;
  } catch (const UserError& e) {
    log::warning("token ids are not checked against the model's vocabulary: {}", e.what());
    return std::nullopt;
  }
}

struct RunInputs {
  RunConfig config;
  dataset::PromptFile prompts;
};

// A damaged config.yaml is a fault that verify_run() reports, as long as it can be parsed and names the prompts.
RunInputs open_run_inputs(const dataset::RunPaths& paths) {
  const std::string text = read_text_file(paths.config());
  try {
    RunConfig config = parse_resolved(text, paths.config(), {});
    dataset::PromptFile prompts = open_prompts(config);
    return {std::move(config), std::move(prompts)};
  } catch (const UserError& e) {
    if (!dataset::broken_checksum_line(text)) throw;
    user_error("{}: is damaged ({}): restore it; verify needs to know the prompts and settings of the run",
               paths.config(), e.what());
  }
}

// A fault if the prompts are not those that the run was made from, or "". Reads the whole file.
std::string changed_prompts(const RunInputs& in, const dataset::RunManifest& manifest) {
  const std::string columns = changed_columns(manifest, in.prompts.contents(), in.config.input.path);
  if (columns.empty()) return "";
  return fmt::format("{}: is not what this run was made of: {} changed (input_sha256 in run.json differs)",
                     in.config.input.path, columns);
}

void print_report(const dataset::VerifyReport& report, std::uint64_t all_rows) {
  fmt::print("checked {} of {} rows: {}\n", thousands(report.rows_checked), thousands(all_rows),
             counted(report.faults.size(), "fault", "faults"));
  if (report.rows_unfinished > 0)
    fmt::print(
        "the run is not finished: {} of its rows are not in finished shards (moemill status says how it stands)\n",
        thousands(report.rows_unfinished));
  if (const std::uint64_t seen = report.rows_checked + report.rows_unfinished; seen < all_rows)
    fmt::print("{} of its rows could not be checked because of these faults\n", thousands(all_rows - seen));
  for (const auto& fault : report.faults) fmt::print("{}\n", fault);
  if (report.faults.empty()) fmt::print("every row is there exactly once\n");
  std::fflush(stdout);  // the replay may take long, or fail
}

}  // namespace

ExitCode verify(const Comm& world, const VerifyRunRequest& request) {
  const dataset::RunPaths paths{request.dir};
  std::optional<dataset::RunManifest> manifest;
  std::optional<RunInputs> in;
  run_on_all_ranks(world, [&] {
    manifest = dataset::read_manifest(paths);
    if (!manifest) user_error("{}: holds no run; give the folder that output.dir named", request.dir);
    log::start(log::Level::Warning, 0, 1);
    in.emplace(open_run_inputs(paths));
  });
  dataset::VerifyReport report;  // filled on rank 0
  std::string changed;
  run_on_rank_zero(world, [&] {
    dataset::VerifyRequest form{request.dir, request.depth, in->config.sampling, {}, in->config.output.merge};
    if (request.depth == dataset::VerifyDepth::Deep) form.vocabulary = vocabulary_of(in->config);
    report = dataset::verify_run(form, in->prompts);
    if (request.depth == dataset::VerifyDepth::Deep || request.replay > 0) changed = changed_prompts(*in, *manifest);
    if (!changed.empty()) report.faults.push_back(changed);
    print_report(report, manifest->completions);
  });
  bool whole = report.faults.empty();
  changed = broadcast_text(world, changed, 0);  // no row can be generated again from changed prompts
  if (request.replay > 0 && changed.empty())
    whole = replay_rows(world, request, in->config, *manifest, in->prompts, report) == 0 && whole;
  return broadcast_text(world, whole ? "" : "faults", 0).empty() ? ExitCode::Done : ExitCode::Internal;
}

}  // namespace moemill::mill
