// Reads run.yaml into a RunConfig. Called by every command. Precedence: defaults < the publisher's recommendations, if
// sampling.from_model is set < YAML < overrides (`--set` and flags). Every fault is a UserError that names the file and
// line (or the flag), the full key, and what is accepted; for an unknown key also the nearest known one. Relative paths
// are relative to the current directory.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/run_config.hpp"

namespace moemill::mill {

// One `key.path = value` from the command line.
struct Override {
  std::string key;
  std::string value;
  std::string origin;                                   // its name in messages, e.g. "--set sampling.top_p=2"
  enum class Form { Yaml, Literal } form = Form::Yaml;  // Literal: a flag's word, which may hold any character
};

// Splits "--set key.path=value" at the first '='.
Override parse_override(std::string_view assignment);
Override literal_override(std::string key, std::string value, std::string_view flag);  // "--flag value"

// `name` is the file's name in messages. The overrides apply in order, after the file.
RunConfig parse_config(std::string_view yaml, std::string_view name, const std::vector<Override>& overrides);

// Reads text from to_yaml(), such as a run's config.yaml. It has every value, so the model's folder is not read,
// whatever its publisher recommends by now.
RunConfig parse_resolved(std::string_view yaml, std::string_view name, const std::vector<Override>& overrides);

// The resolved config with every key; parse_resolved reads the same values back.
std::string to_yaml(const RunConfig& config);

// Keys whose values differ and can change the outputs (not ranks, batch or logging). The paths of the model and the
// prompts are not included, because their contents are compared by fingerprint.
std::vector<std::string> differing_keys(const RunConfig& old_config, const RunConfig& new_config);

std::string value_of(const RunConfig& config, const std::string& key);  // the value of a known key, as YAML
// The config with a different value for a known key; a UserError begins with `origin`.
RunConfig with_value(RunConfig config, const std::string& key, const std::string& value, const std::string& origin);

// Every key with its default and what is accepted, for `--help`.
std::string describe_keys();
// The same as a page of Markdown: configs/README.md.
std::string keys_page();

}  // namespace moemill::mill
