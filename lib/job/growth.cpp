#include "job/growth.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <limits>

namespace moemill::mill {
namespace {

bool grows(const std::string& key, const RunConfig& before, const RunConfig& now) {
  constexpr auto all = std::numeric_limits<std::uint32_t>::max();  // auto: the model's own limit
  if (key == "sampling.n") return now.sampling.n > before.sampling.n;
  if (key == "sampling.max_tokens") return now.sampling.max_tokens > before.sampling.max_tokens;
  return key == "model.max_model_len" &&
         now.model.max_model_len.value_or(all) > before.model.max_model_len.value_or(all);
}

// Columns whose contents are not compared, because the run compares them in a different way or allows them to grow.
bool can_differ(const std::string& column, const dataset::PromptFile& prompts) {
  const auto& carried = prompts.carried();
  return column == "n" || column == "max_tokens" ||
         std::any_of(carried.begin(), carried.end(), [&](const auto& c) { return c.name == column; });
}

}  // namespace

std::string growth_advice(const RunConfig& before, const RunConfig& now, const std::vector<std::string>& keys,
                          const std::string& columns) {
  const bool settings_grow =
      std::all_of(keys.begin(), keys.end(), [&](const auto& key) { return grows(key, before, now); });
  const bool columns_may_grow =
      columns.empty() || columns == "column n" || columns == "column max_tokens" || columns == "columns max_tokens, n";
  if (!settings_grow || !columns_may_grow || (keys.empty() && columns.empty())) return "";
  return " Or use --extend to change this run: a larger n generates more samples per prompt, and with a larger "
         "max_tokens the rows that ended by their length continue.";
}

std::string differing_prompts(const dataset::RunManifest& manifest, const dataset::PromptFile& prompts) {
  if (prompts.size() < manifest.prompts) return fmt::format(" (there are {} now)", prompts.size());
  const auto before = manifest.fingerprints.find("input_columns");
  if (before == manifest.fingerprints.end()) return "";
  std::vector<std::string> columns =
      dataset::changed_columns(before->second, prompts.contents_of_first(manifest.prompts).columns);
  std::erase_if(columns, [&](const auto& column) { return can_differ(column, prompts); });
  if (columns.empty()) return "";
  return fmt::format(
      ", in {} {}; the run keeps only their hashes: if the old file still exists, `h5diff -v OLD {}` names the rows",
      columns.size() == 1 ? "column" : "columns", fmt::join(columns, ", "), prompts.path());
}

}  // namespace moemill::mill
