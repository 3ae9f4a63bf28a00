// The file of `moemill bench calibrate`: it is read as it was written, and faults are refused with their key.
#include "plan/machine.hpp"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>

#include "base/error.hpp"

using namespace moemill;
using namespace moemill::mill;

namespace {

const std::string path = (std::filesystem::temp_directory_path() / "moemill_machine_test.json").string();

Machine some_machine() {
  Machine m;
  m.cpu = "a CPU", m.isa = "avx2", m.measured_utc = "2026-11-30T04:00:00Z";
  m.moemill_version = "0.1.0", m.git_commit = "0123";
  m.nodes = 2, m.ranks_per_node = 3, m.threads_per_rank = 4;
  m.core = {1.3e11, 2.6e11, 5.2e11, 3.1e10}, m.node = {1.5e12, 0, 0, 2e11};
  m.between_nodes = Machine::Link{1.5e-6, 1.25e10};
  return m;
}

Machine read(const std::string& text) {
  std::ofstream(path) << text;
  return read_machine(path);
}

std::string fault(std::string text, const std::string& old, const std::string& now) {
  text.replace(text.find(old), old.size(), now);
  try {
    read(text);
  } catch (const UserError& e) {
    return e.what();
  }
  return "no error";
}

}  // namespace

TEST_CASE("a machine is read as it was written") {
  const Machine m = read(to_json(some_machine()));
  CHECK(to_json(m) == to_json(some_machine()));
  CHECK(m.ranks_per_node == 3);
  CHECK(m.core.fma_flops == 1.3e11);
  CHECK(m.core.bf16_dot_flops == 2.6e11);
  CHECK(m.core.int8_dot_ops == 5.2e11);
  CHECK(m.node.bf16_dot_flops == 0);
  CHECK(m.node.read_bytes_per_second == 2e11);
  CHECK_FALSE(m.within_node);
  REQUIRE(m.between_nodes);
  CHECK(m.between_nodes->latency_seconds == 1.5e-6);
}

TEST_CASE("a machine file of a version without dot products is read") {
  std::string text = to_json(some_machine());
  for (const char* key : {"\"bf16_dot_flops\": ", "\"int8_dot_ops\": "}) {
    for (std::size_t at; (at = text.find(key)) != std::string::npos;) text.erase(at, text.find(',', at) + 1 - at);
  }
  const Machine m = read(text);
  CHECK(m.core.fma_flops == 1.3e11);
  CHECK(m.core.bf16_dot_flops == 0);
  CHECK(m.core.int8_dot_ops == 0);
  CHECK(m.core.read_bytes_per_second == 3.1e10);
}

TEST_CASE("a wrong machine file is refused with file and key") {
  const std::string text = to_json(some_machine());
  const auto names = [&](const std::string& message, const char* key) {
    return message.find(path) == 0 && message.find(key) != std::string::npos;
  };
  CHECK(names(fault(text, "moemill-machine", "other"), "format"));
  CHECK(names(fault(text, "\"format_version\": 1", "\"format_version\": 2"), "format_version"));
  CHECK(names(fault(text, "\"ranks_per_node\": 3", "\"ranks_per_node\": 0"), "ranks_per_node"));
  CHECK(names(fault(text, "\"fma_flops\": 130000000000.0", "\"fma_flops\": null"), "core.fma_flops"));
  CHECK(names(fault(text, "\"fma_flops\": 130000000000.0", "\"fma_flops\": -1"), "core.fma_flops"));
  CHECK(names(fault(text, "\"bytes_per_second\": 12500000000.0", "\"bytes_per_second\": \"fast\""),
              "between_nodes.bytes_per_second"));
  CHECK(names(fault(text, "\"core\"", "\"kern\""), "core"));
  CHECK(names(fault(text, "{", "["), "JSON"));
}
