// Files of machines and of efficiencies: all that are shipped are read, and mistakes are named with place and cure.
#include "plan/estimate/hardware.hpp"

#include <doctest/doctest.h>

#include <filesystem>

#include "base/error.hpp"
#include "base/readable.hpp"
#include "plan/estimate/catalog.hpp"
#include "support.hpp"

using namespace moemill;
using namespace moemill::test;
using namespace moemill::estimate;

namespace {

Hardware read_hardware(const std::string& text) {
  static const Catalog catalog(configs);
  return estimate::read_hardware(text, "m.yaml", catalog.efficiencies());
}

std::string fault_of_machine(const std::string& text) {
  return fault_of_call([&] { read_hardware(text); });
}

const std::string good_machine = R"(name: M
kind: gpu
memory: {gbytes: 80, gbytes_per_second: 3350}
peak_tflops: {bf16: 989, fp8: 1979}
scale_up: {gpus: 8, gbytes_per_second: 450}
network: {gbytes_per_second: 50}
gpus_per_node: 8
price: {per_hour: 2.00, unit: gpu, currency: USD, date: 2025-05-05, source: s}
efficiency:
  tensor_fp8: {value: 0.7, source: s}
sources: [a, b]
)";

std::string changed_machine(const std::string& old, const std::string& now) { return replaced(good_machine, old, now); }

}  // namespace

TEST_CASE("hardware: a file and its overrides") {
  const Hardware h = read_hardware(good_machine);
  CHECK(h.family == "M");
  CHECK(h.memory_bytes == 80e9);
  CHECK(*h.fp8_flops == 1979e12);
  CHECK(!h.fp4_flops);
  CHECK(*h.network_bytes_per_second == 50e9);
  CHECK(h.price->per_hour == 2);
  CHECK(h.efficiencies.tensor_fp8 == 0.7);
  CHECK(h.efficiencies.tensor_bf16 == 0.75);
  CHECK(h.warnings.empty());
}

TEST_CASE("hardware: mistakes are named with place and cure") {
  CHECK(fault_of_machine(good_machine) == "no fault");
  const Hardware sparse = read_hardware(changed_machine("fp8: 1979", "fp8: 3958"));
  REQUIRE(sparse.warnings.size() == 1);
  CHECK(says(sparse.warnings[0], {"m.yaml:4", "peak_tflops.fp8", "sparse", "dense"}));
  CHECK(says(fault_of_machine(changed_machine(", date: 2025-05-05", "")), {"m.yaml:8", "price.date", "missing"}));
  CHECK(says(fault_of_machine(changed_machine(", unit: gpu", "")), {"price.unit", "missing", "gpu, node"}));
  CHECK(says(fault_of_machine(changed_machine("gbytes: 80", "gbyte: 80")),
             {"m.yaml:3", "memory.gbyte", "nearest", "memory.gbytes"}));
  CHECK(says(fault_of_machine(changed_machine("gbytes: 80", "gbytes: 0")), {"memory.gbytes", "'0'"}));
  CHECK(says(fault_of_machine(changed_machine("gbytes: 80", "gbytes: lots")), {"memory.gbytes", "'lots'", "a number"}));
  CHECK(says(fault_of_machine(changed_machine("tensor_fp8", "tensor_fp16")),
             {"m.yaml:10", "efficiency.tensor_fp16", "nearest"}));
  CHECK(says(fault_of_machine(changed_machine("0.7, source: s", "0.7")), {"efficiency.tensor_fp8.source", "missing"}));
  CHECK(says(fault_of_machine(changed_machine("value: 0.7", "value: 1.7")),
             {"efficiency.tensor_fp8.value", "0.01 to 1"}));
  CHECK(says(fault_of_machine(changed_machine("[a, b]", "[]")), {"sources"}));
  CHECK(says(fault_of_machine(changed_machine("gpus_per_node: 8", "gpus_per_node: 65536")),
             {"m.yaml:7", "gpus_per_node", "1 to 4096"}));
  for (const char* wrong : {"2025-13", "2025-00-10", "2025-05-32", "2025-5-1"})
    CHECK(says(fault_of_machine(changed_machine("2025-05-05", wrong)), {"m.yaml:8", "price.date", wrong}));
  CHECK(says(fault_of_machine(changed_machine("kind: gpu", "kind: cpu")),
             {"m.yaml:4", "unknown key 'peak_tflops'", "calibration"}));
  CHECK(says(fault_of_machine(good_machine + "name: N\n"), {"m.yaml:12", "given twice"}));
  CHECK(says(fault_of_machine("name: [}"), {"m.yaml:1", "not YAML"}));
  CHECK(says(fault_of_machine("# nothing"), {"m.yaml", "is empty"}));
}

TEST_CASE("hardware: all machines that are shipped are read, without warnings") {
  Catalog catalog(configs);
  std::size_t machines = 0;
  for (const auto& entry : std::filesystem::directory_iterator(configs + "/hardware")) {
    const std::string name = entry.path().stem().string();
    CAPTURE(name);
    const Hardware& h = catalog.hardware(name);
    CHECK(h.warnings.empty());
    CHECK(catalog.hardware(h.name).memory_bytes == h.memory_bytes);  // also by the name that the file says
    ++machines;
  }
  CHECK(machines == 10);
  CHECK_THROWS_WITH_AS(catalog.hardware("GB20"), doctest::Contains("did you mean 'GB200'"), UserError);
  CHECK_THROWS_WITH_AS(catalog.model("deepseek"), doctest::Contains("known: deepseek-v2-lite"), UserError);
}

TEST_CASE("efficiencies: every one has value, unit and measurement") {
  const std::string text = read_text_file(configs + "/efficiency.yaml");
  const auto fault = [](const std::string& changed) -> std::string {
    try {
      read_efficiencies(changed, "e.yaml");
    } catch (const UserError& e) {
      return e.what();
    }
    return "no fault";
  };
  CHECK(fault(text) == "no fault");
  const auto with = [&](const std::string& old, const std::string& now) {
    std::string changed = text;
    return changed.replace(changed.find(old), old.size(), now);
  };
  CHECK(says(fault(with("tensor_fp8:", "tensor_fp9:")), {"tensor_fp9", "nearest"}));
  CHECK(says(fault(with("value: 4\n", "value: -4\n")), {"kernel_us.value", "0 to 1000"}));
  CHECK(says(fault(with("us per kernel", "ms per kernel")), {"kernel_us.unit", "us per kernel"}));
  CHECK(says(fault("memory: {value: 1, unit: x}"), {"memory.unit"}));
}
