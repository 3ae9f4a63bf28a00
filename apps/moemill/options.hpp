// Options of one command: Boost.Program_options plus --help, suggestions for unknown options, and the options by which
// commands name a config (-c, --set, --model, ...).
#pragma once

#include <boost/program_options.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/run_config.hpp"
#include "commands.hpp"
#include "config/config.hpp"

namespace moemill::app {

namespace po = boost::program_options;

class Options {
 public:
  // `usage` is the line after "usage:", `about` a sentence or a paragraph.
  Options(std::string usage, std::string about);

  po::options_description_easy_init add() { return options_.add_options(); }
  void positional(const char* name, const char* help);  // the one required word without a dash
  void examples(std::vector<std::string> lines) { examples_ = std::move(lines); }
  void epilogue(std::string text) { epilogue_ = std::move(text); }
  void add_config_options();

  // Prints the help and returns false if it is asked for. UserError for unknown or malformed options.
  bool parse(const Words& words);

  bool has(const char* name) const { return values_.count(name) > 0; }
  template <class T>
  T get(const char* name) const {
    return values_[name].as<T>();
  }
  template <class T>
  std::optional<T> find(const char* name) const {
    return has(name) ? std::optional<T>(values_[name].as<T>()) : std::nullopt;
  }

  // A count, declared as std::int64_t. UserError outside [least, most].
  std::uint64_t count(const char* name, std::int64_t least, std::int64_t most) const;
  // --ranks-per-node, nothing without it. UserError if it is more than the job's ranks.
  std::optional<std::uint32_t> ranks_per_node(std::uint32_t ranks) const;

  // The config that the options name: the YAML text, its name, and the overrides.
  struct ConfigSource {
    std::string yaml;
    std::string name;
    std::vector<mill::Override> overrides;
    RunConfig config;
  };
  ConfigSource read_config() const;

 private:
  void print_help() const;
  [[noreturn]] void refuse_unknown(const std::string& word) const;

  std::vector<std::string> examples_;
  std::string usage_, about_, epilogue_, positional_name_;
  po::options_description options_;
  po::options_description hidden_;
  po::positional_options_description positional_;
  po::variables_map values_;
};

}  // namespace moemill::app
