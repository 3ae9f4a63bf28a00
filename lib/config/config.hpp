// run.yaml -> RunConfig. Called by every command; precedence: defaults < what the model's publisher
// recommends, where sampling.from_model asks for it < YAML < overrides (`--set` and flags).
// Every fault is a UserError that names the file and line (or the flag), the full key, and what is accepted; an unknown
// key also names the nearest known one. Relative paths are relative to the current directory.
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
  std::string origin;                                   // how messages call it, e.g. "--set sampling.top_p=2"
  enum class Form { Yaml, Literal } form = Form::Yaml;  // literal: a flag's word, so that a path may hold any character
};

// "--set key.path=value" split at the first '='.
Override parse_override(std::string_view assignment);
Override literal_override(std::string key, std::string value, std::string_view flag);  // "--flag value"

std::string read_text_file(const std::string& path);  // UserError when it cannot be read

// `name` is the file's name in messages.
RunConfig parse_config(std::string_view yaml, std::string_view name, const std::vector<Override>& overrides);

// A text of to_yaml(), such as a run's config.yaml: every value stands there, so that the model's folder is not asked,
// whatever its publisher recommends by now.
RunConfig parse_resolved(std::string_view yaml, std::string_view name, const std::vector<Override>& overrides);

// The resolved config, every key written out; parse_resolved reads it back to the same values.
std::string to_yaml(const RunConfig& config);

// Keys whose values differ and that can change what stands in the outputs (not ranks, batch, logging). The paths of the
// model and the prompts are not among them: their contents are compared by fingerprint.
std::vector<std::string> differing_keys(const RunConfig& old_config, const RunConfig& new_config);

std::string value_of(const RunConfig& config, const std::string& key);  // of a known key, as YAML
// The config with another value of a known key; UserError begins with `origin`.
RunConfig with_value(RunConfig config, const std::string& key, const std::string& value, const std::string& origin);

// Every key with its default and what is accepted, as `--help` shows them.
std::string describe_keys();
// The same as a page of Markdown: configs/README.md.
std::string keys_page();

}  // namespace moemill::mill
