#include "commands/plan_like.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "base/error.hpp"
#include "base/readable.hpp"
#include "base/text/json_values.hpp"
#include "base/text/path_text.hpp"
#include "dataset/outputs/outputs.hpp"
#include "dataset/run_dir/run_dir.hpp"
#include "plan/estimate/number_text.hpp"

namespace moemill::mill {
namespace {

// outputs.h5, or the finished shards of a run that has not ended.
std::vector<std::string> finished_files(const dataset::RunPaths& paths) {
  if (is_named(paths.outputs())) return {paths.outputs()};
  std::vector<std::string> files;
  for (const ShardId shard : dataset::list_run(paths).finished) files.push_back(paths.shard(shard));
  return files;
}

struct Rows {
  estimate::LengthSums input, output;
  std::uint64_t all = 0, failed = 0;

  void add(const dataset::Completion& row) {
    ++all;
    if (row.status != dataset::RowStatus::Ok) {
      ++failed;
      return;
    }
    input.add(row.num_prompt_tokens), output.add(row.num_completion_tokens);
  }
};

Rows read_rows(const std::vector<std::string>& files) {
  constexpr std::uint64_t block = 1 << 16;
  Rows rows;
  for (const std::string& file : files) {
    const dataset::OutputReader reader(file);
    for (std::uint64_t first = 0; first < reader.rows(); first += block)
      for (const auto& row : reader.read_numbers(first, std::min(block, reader.rows() - first))) rows.add(row);
  }
  return rows;
}

}  // namespace

LikeRun read_like(const std::string& dir) {
  check_path("--like", dir);
  const dataset::RunPaths paths{dir};
  if (!dataset::read_manifest(paths)) user_error("--like {}: holds no run (no run.json)", dir);
  const Rows rows = read_rows(finished_files(paths));
  if (rows.input.tokens() == 0 || rows.output.tokens() == 0)
    user_error("--like {}: has no finished row with a prompt and an answer yet; let it run further", dir);
  LikeRun like{rows.all, static_cast<double>(rows.failed) / static_cast<double>(rows.all), rows.input.lengths(),
               rows.output.lengths()};
  if (!is_named(paths.summary())) return like;
  const auto summary = parse_json_object(read_text_file(paths.summary()));
  const auto prompts = summary ? json_value<double>(*summary, "prompt_tokens") : std::nullopt;
  const auto cached = summary ? json_value<double>(*summary, "cached_prompt_tokens") : std::nullopt;
  like.knows_cached = prompts && cached && *prompts > 0 && *cached >= 0 && *cached <= *prompts;
  if (like.knows_cached) like.cached_fraction = *cached / *prompts;
  return like;
}

std::string like_text(const LikeRun& run, const std::string& dir) {
  return fmt::format("as {} rows of {}: {:.1f} % fail and cost nothing, prompts of {}, answers of {}, {}",
                     estimate::whole(static_cast<double>(run.rows)), dir, 100 * run.failed_fraction,
                     estimate::lengths_text(run.input), estimate::lengths_text(run.output),
                     run.knows_cached ? fmt::format("{:.1f} % of prompt tokens cached", 100 * run.cached_fraction)
                                      : "hits not known before the run ends");
}

}  // namespace moemill::mill
