// YAML is read as PyYAML reads it, and what is written reads back to the same values.
#include "config/yaml.hpp"

#include <doctest/doctest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "config/config.hpp"

using namespace moemill;

namespace {

std::string yaml_fault(std::string_view text) {
  try {
    yaml::read(text, "run.yaml");
  } catch (const UserError& e) {
    return e.what();
  }
  return "no error";
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("strings in every style and width of PyYAML are what PyYAML reads, and come back as they are written") {
  std::ifstream file(MOEMILL_TEST_DATA "/mill/yaml_strings.json");
  const nlohmann::json rows = nlohmann::json::parse(file);
  REQUIRE(rows.size() > 200);
  for (const auto& row : rows) {
    const auto text = row.at("yaml").get<std::string>();
    CAPTURE(text);
    const auto stop = row.at("stop").get<std::vector<std::string>>();
    const RunConfig config = mill::parse_config(text, "run.yaml", {});
    CHECK(config.sampling.stop == stop);
    CHECK(mill::parse_config(mill::to_yaml(config), "config.yaml", {}).sampling.stop == stop);
  }
}

TEST_CASE("values, their lines, and what is nothing") {
  const yaml::Node root = yaml::read("# c\na: {b: [1, 'null', ~], c: }\nd: &x {e: f}\ng: *x\n", "run.yaml");
  REQUIRE(root.items.size() == 6);
  CHECK(root.items[0].scalar == "a");
  CHECK(root.items[0].line == 2);
  const yaml::Node& a = root.items[1];
  CHECK(a.items[1].items[1].scalar == "null");
  CHECK(a.items[1].items[2].is_null());
  CHECK(a.items[3].is_null());
  CHECK(root.items[5].items[1].scalar == "f");
  CHECK(yaml::write(root) == "a:\n  b: [\"1\", \"null\", null]\n  c: null\nd:\n  e: f\ng:\n  e: f\n");
  CHECK(yaml::read("", "run.yaml").is_null());
  CHECK(yaml::read("\xef\xbb\xbf# a byte order mark\r\na: 1\r\n", "run.yaml").items[1].scalar == "1");
}

TEST_CASE("what PyYAML reads otherwise, or not at all, is refused with its line and the cure") {
  // PyYAML: "\tx\n". libyaml accepts the tab only if the number of spaces is given, with the same result.
  for (const char* block : {"a: |\n  \tx\n", "a: >-\n \tx\n y\n", "a:\n  b: |+\n    \tx\n", "- |\n\n \tx\n"})
    CHECK_MESSAGE(contains(yaml_fault(block), "e.g. '|2'"), block);
  CHECK(yaml::read("a: |2\n  \tx\n", "run.yaml").items[1].scalar == "\tx\n");
  CHECK(
      contains(yaml_fault("a:\n\t- b\n"), "run.yaml:2: this is not YAML: found character that cannot start any token"));
  CHECK(contains(yaml_fault("a:\n\t- b\n"), "it is a tab: indent by spaces"));
  CHECK(contains(yaml_fault("näh: @b\n"), "put a text that begins with '@' in quotes"));
  for (const char* tag : {"!include", "!!binary", "!!timestamp", "!!set", "!env", "!"}) {
    CHECK_MESSAGE(contains(yaml_fault(fmt::format("a: 1\nb: {} x\n", tag)), "run.yaml:2: the tag "), tag);
    CHECK_MESSAGE(
        contains(yaml_fault(fmt::format("a: {} [x]\n", tag)), fmt::format("the tag {} means nothing here", tag)), tag);
  }
  CHECK(contains(yaml_fault("a: !!omap {b: c}\n"), "the tag !!omap"));
  const yaml::Node root = yaml::read("[!!str null, !!null '', !!int 5, !!seq [a], !!map {}]", "run.yaml");
  CHECK(root.items[0].scalar == "null");
  CHECK(root.items[1].is_null());
}

TEST_CASE("what is no YAML is named with its line; nothing runs away") {
  CHECK(contains(yaml_fault("a: 1\nb: [1, 2\nc: 3\n"), "run.yaml:3: this is not YAML: did not find expected"));
  CHECK(contains(yaml_fault("a: 1\nb: n\xe4h\n"), "run.yaml:2: this is not YAML: invalid"));
  CHECK(contains(yaml_fault("a: *nothing\n"), "run.yaml:1: *nothing names nothing above it"));
  CHECK(contains(yaml_fault("a: &x [*x]\n"), "names nothing"));
  CHECK(contains(yaml_fault(std::string(100'000, '[')), "nested too deeply"));
  std::string laughs = "a0: &a0 [x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 12; ++i) {
    laughs += fmt::format("a{0}: &a{0} [", i);
    for (int j = 0; j < 8; ++j) laughs += fmt::format("*a{}, ", i - 1);
    laughs += "]\n";
  }
  CHECK(contains(yaml_fault(laughs), "too many values"));
}
