#include "mill/config.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <optional>
#include <set>
#include <sstream>

#include "base/error.hpp"
#include "base/utf8.hpp"
#include "mill/config_fields.hpp"
#include "mill/config_names.hpp"
#include "mill/published_sampling.hpp"

namespace moemill::mill {
namespace {

const Field* find_field(std::string_view key) {
  const auto& fields = config_fields();
  auto it = std::find_if(fields.begin(), fields.end(), [&](const Field& f) { return f.key == key; });
  return it == fields.end() ? nullptr : &*it;
}

bool is_section(const std::string& key) {
  const auto& fields = config_fields();
  return std::any_of(fields.begin(), fields.end(), [&](const Field& f) { return f.key.starts_with(key + "."); });
}

const std::string& first_field_of(const std::string& section) {
  const auto& fields = config_fields();
  return std::find_if(fields.begin(), fields.end(), [&](const Field& f) { return f.key.starts_with(section + "."); })
      ->key;
}

std::string place(std::string_view file, const yaml::Node& node) {
  return node.line > 0 ? fmt::format("{}:{}", file, node.line) : std::string(file);
}

std::string shown(const yaml::Node& node) {
  if (node.is_null()) return "null";
  if (node.is_scalar()) return "'" + node.scalar + "'";
  return node.is_map() ? "a mapping" : "a list";
}

void read_value(const std::string& where, const Field& field, const yaml::Node& node, RunConfig& config) {
  if (!field.read(node, config))
    user_error("{}: {}: {} is not accepted; accepted: {}", where, field.key, shown(node), field.accepts);
}

void check_schema_version(std::string_view file, const yaml::Node& node) {
  if (!node.is_scalar() || node.scalar != "1")
    user_error("{}: schema_version: {} is not accepted; accepted: 1, the only one this version reads",
               place(file, node), shown(node));
}

void read_map(std::string_view file, const std::string& prefix, const yaml::Node& map, RunConfig& config) {
  std::set<std::string> seen;
  for (std::size_t i = 0; i < map.items.size(); i += 2) {
    const yaml::Node &name = map.items[i], &value = map.items[i + 1];
    if (!name.is_scalar()) user_error("{}: a key must be a word", place(file, name));
    std::string key = prefix + name.scalar;
    std::string where = place(file, name);
    if (!seen.insert(key).second) user_error("{}: {}: given twice; keep one of them", where, key);
    if (key == "schema_version") {
      check_schema_version(file, value);
    } else if (const Field* field = find_field(key)) {
      read_value(where, *field, value, config);
    } else if (!is_section(key)) {
      user_error("{}: unknown key '{}'{}", where, key, advice_for_key(key));
    } else if (value.is_map()) {
      read_map(file, key + ".", value, config);
    } else if (!value.is_null()) {  // an empty section says nothing
      user_error("{}: {}: {} is not accepted; accepted: a mapping, e.g. {}", where, key, shown(value),
                 first_field_of(key));
    }
  }
}

// The value of a key in a map, or null.
const yaml::Node* find_value(const yaml::Node& map, std::string_view key) {
  for (std::size_t i = 0; map.is_map() && i < map.items.size(); i += 2)
    if (map.items[i].is_scalar() && map.items[i].scalar == key) return &map.items[i + 1];
  return nullptr;
}

// The map that `key` names in a map, made where it is not there yet.
yaml::Node& section_of(yaml::Node& map, std::string_view key) {
  for (std::size_t i = 0; i < map.items.size(); i += 2)
    if (map.items[i].scalar == key) return map.items[i + 1];
  map.items.push_back(yaml::plain(std::string(key)));
  map.items.push_back({yaml::Node::Kind::Map, {}, {}, {}, 0});
  return map.items.back();
}

// A flag has no lines to name.
void forget_lines(yaml::Node& node) {
  node.line = 0;
  for (yaml::Node& item : node.items) forget_lines(item);
}

yaml::Node value_in(const Override& o) {
  if (o.form == Override::Form::Literal) return yaml::text(o.value);
  yaml::Node value = yaml::read(o.value, o.origin);
  forget_lines(value);
  return value;
}

// A section takes a map, as in the file: what it does not name stays.
void apply_override(const Override& o, RunConfig& config) {
  const yaml::Node key = yaml::plain(o.key);
  read_map(o.origin, "", {yaml::Node::Kind::Map, {}, {}, {key, value_in(o)}, 0}, config);
}

// What output.store is set to as a word of an override, or null.
std::optional<std::string> store_in(const Override& o) {
  if (o.key == "output.store") return o.value;
  if (o.key != "output") return std::nullopt;
  const yaml::Node value = value_in(o);
  const yaml::Node* words = find_value(value, "store");
  return words ? std::optional(yaml::write(*words)) : std::nullopt;
}

// Rules between keys; each key alone was checked when it was read.
void check_together(std::string_view name, const RunConfig& c, const std::string& yaml_store) {
  for (const auto& [key, path] : {std::pair("model.path", c.model.path),
                                  {"input.path", c.input.path},
                                  {"output.dir", c.output.dir},
                                  {"runtime.stop_file", c.runtime.stop_file}})
    check_path(fmt::format("{}: {}", name, key), path);
  const auto& s = c.sampling;
  if (s.min_tokens > s.max_tokens)
    user_error("{}: sampling.min_tokens ({}) is larger than sampling.max_tokens ({}); lower one or raise the other",
               name, s.min_tokens, s.max_tokens);
  const auto& r = s.repetition_detection;
  if (r.max_pattern_size > 0 && r.min_count < 2)
    user_error("{}: sampling.repetition_detection.min_count is {}; detection needs 2 or more", name, r.min_count);
  if (r.max_pattern_size == 0 && r.min_count > 0)
    user_error(
        "{}: sampling.repetition_detection.min_count is set but max_pattern_size is 0 (off); set both or neither",
        name);
  const auto& limit = c.runtime.max_wall_time_seconds;
  if (limit && *limit <= c.runtime.drain_margin_seconds)
    user_error(
        "{}: runtime.max_wall_time ({} s) is not longer than runtime.drain_margin ({} s), so nothing would ever be "
        "done; raise one or lower the other",
        name, *limit, c.runtime.drain_margin_seconds);
  if (yaml_store.find("logprobs") != std::string::npos && !s.logprobs)
    user_error(
        "{}: output.store lists logprobs but sampling.logprobs is null; set sampling.logprobs to 0 or more, or leave "
        "the word out: they are stored wherever they are asked for, also by a column",
        name);
}

}  // namespace

Override parse_override(std::string_view assignment) {
  auto equals = assignment.find('=');
  std::string origin = fmt::format("--set {}", assignment);
  if (equals == std::string_view::npos || equals == 0)
    user_error("{}: write --set key.path=value, e.g. --set sampling.temperature=0", origin);
  return {std::string(assignment.substr(0, equals)), std::string(assignment.substr(equals + 1)), origin,
          Override::Form::Yaml};
}

Override literal_override(std::string key, std::string value, std::string_view flag) {
  return {std::move(key), value, fmt::format("--{} {}", flag, value), Override::Form::Literal};
}

void check_path(std::string_view what, const std::string& path) {
  if (first_bad_utf8(path)) user_error("{}: is not UTF-8, as names in config.yaml must be", what);
  if (path.starts_with("~/"))
    user_error(
        "{}: {}: only a shell makes your home folder of '~', and here it would be a folder of that name; write the "
        "full path",
        what, path);
  for (std::size_t at = 0; (at = path.find('$', at)) != std::string::npos; ++at) {
    const char next = at + 1 < path.size() ? path[at + 1] : '/';
    if (next == '{' || next == '_' || (next >= 'a' && next <= 'z') || (next >= 'A' && next <= 'Z'))
      user_error(
          "{}: {}: only a shell puts the value of a variable for its '$name', and here it would be a folder of that "
          "name; write the path out, or give it on the command line, where the shell reads it",
          what, path);
  }
}

std::string read_text_file(const std::string& path) {
  // Opening a folder works, and reading it gives nothing.
  std::error_code unreadable;  // said below
  if (std::filesystem::is_directory(path, unreadable)) user_error("{}: is a folder, not a file", path);
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  if (in) text << in.rdbuf();
  if (!in) user_error("{}: cannot be read: {}", path, std::generic_category().message(errno));
  return text.str();
}

namespace {

// `config` holds what counts where neither the YAML nor an override says anything.
RunConfig parse_onto(RunConfig config, std::string_view yaml, std::string_view name,
                     const std::vector<Override>& overrides) {
  const yaml::Node root = yaml::read(yaml, name);
  std::string store;
  if (root.is_map()) {
    read_map(name, "", root, config);
    const yaml::Node* output = find_value(root, "output");
    if (const yaml::Node* words = output ? find_value(*output, "store") : nullptr) store = yaml::write(*words);
  } else if (!root.is_null()) {
    user_error("{}: holds {}; a run.yaml is a mapping, e.g. 'model: {{path: DIR}}'", name, shown(root));
  }
  for (const Override& o : overrides) {
    apply_override(o, config);
    store = store_in(o).value_or(store);
  }
  if (config.output.dir.empty())
    config.output.dir =
        "runs/" + (config.input.path.empty() ? "prompts" : std::filesystem::path(config.input.path).stem().string());
  check_together(name, config, store);
  return config;
}

}  // namespace

RunConfig parse_config(std::string_view yaml, std::string_view name, const std::vector<Override>& overrides) {
  RunConfig config = parse_onto(RunConfig(), yaml, name, overrides);
  if (!config.sampling.from_model) return config;
  const PublishedSampling published = read_published_sampling(config.model.path);
  RunConfig recommended;
  for (const auto& [key, value] : published.values) {
    try {
      recommended = with_value(recommended, "sampling." + key, value, published.file);
    } catch (const UserError& refused) {
      user_error(
          "{}. sampling.from_model: true takes what the file recommends; leave it out, and set what you want of it",
          refused.what());
    }
  }
  return parse_onto(std::move(recommended), yaml, name, overrides);
}

RunConfig with_value(RunConfig config, const std::string& key, const std::string& value, const std::string& origin) {
  apply_override({key, value, origin}, config);
  return config;
}

std::string to_yaml(const RunConfig& config) {
  yaml::Node root{yaml::Node::Kind::Map, {}, {}, {yaml::plain("schema_version"), yaml::plain("1")}, 0};
  for (const Field& field : config_fields()) {
    yaml::Node value = field.write(config);
    if (value.is_scalar() && value.scalar.empty()) continue;  // a required path that nobody gave
    yaml::Node* map = &root;
    std::size_t begin = 0;
    for (std::size_t dot; (dot = field.key.find('.', begin)) != std::string::npos; begin = dot + 1)
      map = &section_of(*map, field.key.substr(begin, dot - begin));
    map->items.push_back(yaml::plain(field.key.substr(begin)));
    map->items.push_back(std::move(value));
  }
  return yaml::write(root);
}

std::vector<std::string> differing_keys(const RunConfig& old_config, const RunConfig& new_config) {
  std::vector<std::string> keys;
  for (const Field& field : config_fields()) {
    if (field.effect != Effect::Answers) continue;
    if (yaml::write(field.write(old_config)) != yaml::write(field.write(new_config))) keys.push_back(field.key);
  }
  return keys;
}

std::string value_of(const RunConfig& config, const std::string& key) {
  const Field* field = find_field(key);
  expect(field != nullptr, "the key is a known one");
  return yaml::write(field->write(config));
}

}  // namespace moemill::mill
