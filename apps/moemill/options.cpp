#include "options.hpp"

#include <fmt/format.h>

#include <algorithm>

#include <fmt/ranges.h>

#include "base/error.hpp"
#include "base/readable.hpp"
#include "base/text/format.hpp"
#include "base/text/path_text.hpp"
#include "base/text/text_wrap.hpp"
#include "config/config_names.hpp"

namespace moemill::app {

Options::Options(std::string usage, std::string about)
    : usage_(std::move(usage)), about_(std::move(about)), options_("options", 100, 50) {
  add()("help,h", "print this help");
}

void Options::positional(const char* name, const char* help) {
  positional_name_ = name;
  hidden_.add_options()(name, po::value<std::string>(), help);
  positional_.add(name, 1);
}

void Options::add_config_options() {
  add()("config,c", po::value<std::string>()->value_name("FILE"), "run.yaml; without it, the defaults");
  add()("input,i", po::value<std::string>()->value_name("FILE"),
        "prompts.h5 (input.path); scripts/prompts.py creates it from JSONL, CSV, Parquet ...");
  add()("output-dir,o", po::value<std::string>()->value_name("DIR"),
        "run directory (output.dir); without it runs/ and the input's name");
  add()("model", po::value<std::string>()->value_name("DIR"), "model folder (model.path)");
  add()("set", po::value<std::vector<std::string>>()->value_name("KEY.PATH=VALUE")->composing(),
        "set any key of run.yaml, e.g. --set sampling.temperature=0; repeatable, overrides the file");
  add()("limit", po::value<std::string>()->value_name("N"), "only the first N prompts (input.limit)");
  add()("log-level", po::value<std::string>()->value_name("LEVEL"),
        "trace, debug, info, warning, error or off (runtime.log_level)");
}

bool Options::parse(const Words& words) {
  po::options_description all;
  all.add(options_).add(hidden_);
  try {
    auto style = po::command_line_style::default_style & ~po::command_line_style::allow_guessing;
    po::store(po::command_line_parser(words).options(all).positional(positional_).style(style).run(), values_);
    po::notify(values_);
  } catch (const po::unknown_option& e) {
    refuse_unknown(e.get_option_name());
  } catch (const po::too_many_positional_options_error&) {
    user_error("too many words on the command line; usage: {}", usage_);
  } catch (const po::error& e) {
    user_error("{}; usage: {}", e.what(), usage_);
  }
  if (has("help")) return print_help(), false;
  if (positional_name_.empty()) return true;
  if (!has(positional_name_.c_str())) user_error("{} is missing; usage: {}", positional_name_, usage_);
  check_path(positional_name_, get<std::string>(positional_name_.c_str()));
  return true;
}

// A flag that is a key of run.yaml, or of another program, is more likely than a typing error.
void Options::refuse_unknown(const std::string& word) const {
  const std::string option = word.substr(0, word.find('='));
  const std::string help = fmt::format("; see {} --help", usage_.substr(0, usage_.find(" [")));
  const bool has_set = std::any_of(options_.options().begin(), options_.options().end(),
                                   [](const auto& known) { return known->long_name() == "set"; });
  if (has_set) {
    if (const std::string key = mill::key_of_flag(option); !key.empty())
      user_error("unknown option '{}': it is a key of run.yaml, --set {}=VALUE{}", option, key, help);
    if (const std::string advice = mill::advice_for_foreign(option); !advice.empty())
      user_error("unknown option '{}': {}{}", option, advice, help);
  }
  std::vector<std::string> known;
  for (const auto& one : options_.options()) known.push_back("--" + one->long_name());
  const std::string nearest = mill::nearest_name(option, known);
  if (const std::string key = has_set && nearest.empty() ? mill::nearest_key(option) : ""; !key.empty())
    user_error("unknown option '{}'; did you mean the key of run.yaml, --set {}=VALUE?{}", option, key, help);
  user_error("unknown option '{}'{}{}", option, nearest.empty() ? "" : fmt::format("; did you mean '{}'?", nearest),
             help);
}

// The option is signed, because an unsigned one would read -1 as a very large number.
std::uint64_t Options::count(const char* name, std::int64_t least, std::int64_t most) const {
  const auto value = get<std::int64_t>(name);
  if (value < least || value > most) user_error("--{} {}: must be {} to {}", name, value, least, most);
  return static_cast<std::uint64_t>(value);
}

std::optional<std::uint32_t> Options::ranks_per_node(std::uint32_t ranks) const {
  if (!has("ranks-per-node")) return std::nullopt;
  constexpr std::int64_t most = 1'000'000;
  const std::uint64_t a_node = count("ranks-per-node", 1, most);
  if (a_node > ranks)
    user_error("--ranks-per-node {}: is more than the {} of the job (--ranks)", a_node,
               counted(ranks, "rank", "ranks"));
  return static_cast<std::uint32_t>(a_node);
}

void Options::print_help() const {
  std::ostringstream table;
  table << options_;
  fmt::print("usage: {}\n\n{}\n\n{}", usage_, wrapped(about_), table.str());
  if (!examples_.empty()) fmt::print("\nexamples:\n  {}\n", fmt::join(examples_, "\n  "));
  if (!epilogue_.empty()) fmt::print("\n{}", epilogue_);
}

Options::ConfigSource Options::read_config() const {
  ConfigSource source;
  if (auto file = find<std::string>("config")) {
    check_path("-c", *file);
    source.name = *file;
    source.yaml = read_text_file(*file);
  } else {
    source.name = "command line";
  }
  if (auto sets = find<std::vector<std::string>>("set"))
    for (const auto& assignment : *sets) source.overrides.push_back(mill::parse_override(assignment));
  const std::pair<const char*, const char*> flags[] = {{"input", "input.path"},
                                                       {"output-dir", "output.dir"},
                                                       {"model", "model.path"},
                                                       {"limit", "input.limit"},
                                                       {"log-level", "runtime.log_level"}};
  for (auto [flag, key] : flags)
    if (auto value = find<std::string>(flag)) source.overrides.push_back(mill::literal_override(key, *value, flag));
  source.config = mill::parse_config(source.yaml, source.name, source.overrides);
  return source;
}

}  // namespace moemill::app
