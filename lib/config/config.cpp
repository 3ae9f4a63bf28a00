#include "config/config.hpp"

#include <algorithm>
#include <filesystem>
#include <map>
#include <optional>
#include <set>

#include "base/error.hpp"
#include "base/readable.hpp"
#include "base/text/path_text.hpp"
#include "config/config_field_kinds.hpp"
#include "config/config_fields.hpp"
#include "config/config_names.hpp"
#include "config/published_sampling.hpp"

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

// Numbers in forms of C, Python and YAML 1.1 are refused with this cure; "" for any other text.
std::string number_cure(const yaml::Node& node) {
  if (!node.is_scalar()) return "";
  std::string_view text = node.scalar;
  if (text.starts_with('+') || text.starts_with('-')) text.remove_prefix(1);
  if (text.empty() || text[0] < '0' || text[0] > '9') return "";
  const bool has_prefix = text.size() > 1 && text[0] == '0' && std::string_view("xXoObB").find(text[1]) != text.npos;
  if (!has_prefix && text.find('_') == text.npos && !is_octal(text)) return "";
  return " (a number is written in decimal digits, without a leading 0, 0x or _)";
}

// The element of a list that a setting does not accept, or accepts only once; null if it accepts no list at all.
struct BadElement {
  std::size_t at = 0;
  const yaml::Node* node = nullptr;
  const char* fault = "is not accepted";
};
BadElement bad_element(const Field& field, const yaml::Node& list) {
  RunConfig scratch;
  if (!field.read({yaml::Node::Kind::List, {}, {}, {}, 0}, scratch)) return {};
  for (std::size_t i = 0; i < list.items.size(); ++i) {
    const yaml::Node& item = list.items[i];
    if (!field.read({yaml::Node::Kind::List, {}, {}, {item}, item.line}, scratch)) return {i, &item};
  }
  for (std::size_t i = 0; i < list.items.size(); ++i)
    for (std::size_t j = 0; j < i; ++j)
      if (list.items[i].scalar == list.items[j].scalar) return {i, &list.items[i], "is given twice"};
  return {};
}

void read_value(std::string_view file, const yaml::Node& name, const Field& field, const yaml::Node& node,
                RunConfig& config) {
  if (field.read(node, config)) return;
  const BadElement bad = node.is_list() ? bad_element(field, node) : BadElement();
  if (bad.node)
    user_error("{}: {}: element {} of the list, {}, {}; accepted: {}{}", place(file, *bad.node), field.key, bad.at + 1,
               shown(*bad.node), bad.fault, field.accepts, number_cure(*bad.node));
  user_error("{}: {}: {} is not accepted; accepted: {}{}", place(file, name), field.key, shown(node), field.accepts,
             number_cure(node));
}

void check_schema_version(std::string_view file, const yaml::Node& node) {
  if (!node.is_scalar() || node.scalar != "1")
    user_error("{}: schema_version: {} is not accepted; accepted: 1, the only one this version reads",
               place(file, node), shown(node));
}

// The place where each key was set last, as messages name it: "run.yaml:7" or "--set sampling.n=2".
using Places = std::map<std::string, std::string>;

void read_map(std::string_view file, const std::string& prefix, const yaml::Node& map, RunConfig& config,
              Places& places) {
  std::set<std::string> seen;
  for (std::size_t i = 0; i < map.items.size(); i += 2) {
    const yaml::Node &name = map.items[i], &value = map.items[i + 1];
    if (!name.is_scalar()) user_error("{}: a key must be a word", place(file, name));
    if (name.scalar == "<<") user_error("{}: merge keys (<<) are not read; write the keys out", place(file, name));
    std::string key = prefix + name.scalar;
    std::string where = place(file, name);
    if (!seen.insert(key).second) user_error("{}: {}: given twice; keep one of them", where, key);
    if (key == "schema_version") {
      check_schema_version(file, value);
    } else if (const Field* field = find_field(key)) {
      read_value(file, name, *field, value, config);
      places[key] = where;
    } else if (!is_section(key)) {
      user_error("{}: unknown key '{}'{}", where, key, advice_for_key(key));
    } else if (value.is_map()) {
      read_map(file, key + ".", value, config, places);
    } else if (!value.is_null()) {  // an empty section changes nothing
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

// The map that `key` names in a map, created if it is absent.
yaml::Node& section_of(yaml::Node& map, std::string_view key) {
  for (std::size_t i = 0; i < map.items.size(); i += 2)
    if (map.items[i].scalar == key) return map.items[i + 1];
  map.items.push_back(yaml::plain(std::string(key)));
  map.items.push_back({yaml::Node::Kind::Map, {}, {}, {}, 0});
  return map.items.back();
}

// The text of a flag has no line numbers.
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

// As in the file, the map of a section leaves keys that it does not name as they are.
void apply_override(const Override& o, RunConfig& config, Places& places) {
  const yaml::Node key = yaml::plain(o.key);
  read_map(o.origin, "", {yaml::Node::Kind::Map, {}, {}, {key, value_in(o)}, 0}, config, places);
}

// The value that an override gives output.store, or nothing.
std::optional<std::string> store_in(const Override& o) {
  if (o.key == "output.store") return o.value;
  if (o.key != "output") return std::nullopt;
  const yaml::Node value = value_in(o);
  const yaml::Node* words = find_value(value, "store");
  return words ? std::optional(yaml::write(*words)) : std::nullopt;
}

// Rules between keys; each single key was checked when it was read. A message begins with the place of the value to
// change, or with `file` if the value is a default.
class KeyRules {
 public:
  KeyRules(std::string_view file, const RunConfig& config, const Places& places)
      : file_(file), c_(config), places_(places) {}

  void check_paths() const {
    for (const auto& [key, path] : {std::pair("model.path", c_.model.path),
                                    {"input.path", c_.input.path},
                                    {"output.dir", c_.output.dir},
                                    {"runtime.stop_file", c_.runtime.stop_file}})
      check_path(at(key), path);
  }

  void check_sampling() const {
    const auto& s = c_.sampling;
    if (s.min_tokens > s.max_tokens)
      user_error("{} ({}) is larger than sampling.max_tokens ({}{}); lower one or raise the other",
                 at("sampling.min_tokens"), s.min_tokens, s.max_tokens, by("sampling.max_tokens"));
    const auto& r = s.repetition_detection;
    const std::string count = "sampling.repetition_detection.min_count",
                      size = "sampling.repetition_detection.max_pattern_size";
    if (r.max_pattern_size > 0 && r.min_count < 2)
      user_error("{} is {}; detection needs 2 or more where max_pattern_size is on ({}{})", at(count), r.min_count,
                 r.max_pattern_size, by(size));
    if (r.max_pattern_size == 0 && r.min_count > 0)
      user_error("{} is set but max_pattern_size is 0 (off{}); set both or neither", at(count), by(size));
  }

  void check_times() const {
    const auto& limit = c_.runtime.max_wall_time_seconds;
    if (limit && *limit <= c_.runtime.drain_margin_seconds)
      user_error(
          "{} ({} s) is not longer than runtime.drain_margin ({} s{}), so nothing would ever be done; raise one or "
          "lower the other",
          at("runtime.max_wall_time"), *limit, c_.runtime.drain_margin_seconds, by("runtime.drain_margin"));
  }

  void check_store(const std::string& words) const {
    if (words.find("logprobs") != std::string::npos && !c_.sampling.logprobs)
      user_error(
          "{} lists logprobs but sampling.logprobs is null{}; set sampling.logprobs to 0 or more, or leave the word "
          "out: they are stored wherever they are asked for, also by a column",
          at("output.store"), by("sampling.logprobs"));
  }

 private:
  std::string at(const std::string& key) const {
    const auto found = places_.find(key);
    return fmt::format("{}: {}", found == places_.end() ? file_ : found->second, key);
  }
  std::string by(const std::string& key) const {
    const auto found = places_.find(key);
    return found == places_.end() ? ", the default" : ", " + found->second;
  }

  std::string file_;
  const RunConfig& c_;
  const Places& places_;
};

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

namespace {

// `config` holds the values of keys that neither the YAML nor an override sets.
RunConfig parse_onto(RunConfig config, std::string_view yaml, std::string_view name,
                     const std::vector<Override>& overrides) {
  const yaml::Node root = yaml::read(yaml, name);
  std::string store;
  Places places;
  if (root.is_map()) {
    read_map(name, "", root, config, places);
    const yaml::Node* output = find_value(root, "output");
    if (const yaml::Node* words = output ? find_value(*output, "store") : nullptr) store = yaml::write(*words);
  } else if (!root.is_null()) {
    user_error("{}: holds {}; a run.yaml is a mapping, e.g. 'model: {{path: DIR}}'", name, shown(root));
  }
  for (const Override& o : overrides) {
    apply_override(o, config, places);
    store = store_in(o).value_or(store);
  }
  if (config.output.dir.empty())
    config.output.dir =
        "runs/" + (config.input.path.empty() ? "prompts" : std::filesystem::path(config.input.path).stem().string());
  const KeyRules rules(name, config, places);
  rules.check_paths();
  rules.check_sampling();
  rules.check_times();
  rules.check_store(store);
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

RunConfig parse_resolved(std::string_view yaml, std::string_view name, const std::vector<Override>& overrides) {
  return parse_onto(RunConfig(), yaml, name, overrides);
}

RunConfig with_value(RunConfig config, const std::string& key, const std::string& value, const std::string& origin) {
  Places unused;
  apply_override({key, value, origin}, config, unused);
  return config;
}

std::string to_yaml(const RunConfig& config) {
  yaml::Node root{yaml::Node::Kind::Map, {}, {}, {yaml::plain("schema_version"), yaml::plain("1")}, 0};
  for (const Field& field : config_fields()) {
    yaml::Node value = field.write(config);
    if (value.is_scalar() && value.scalar.empty()) continue;  // a required path that is not set
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
