// Any text as run.yaml: refused with a UserError, or settings that are the same after writing them, as a run
// directory's config.yaml, and reading them back. The text after a zero byte is the model's generation_config.json,
// whose recommendations the settings begin with then.
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "config/config.hpp"
#include "process_path.hpp"

namespace {

using namespace moemill;

const std::string& model_folder() {
  static const std::string path = process_folder("yaml");
  return path;
}

std::vector<mill::Override> publish(std::string_view recommended) {
  std::ofstream(model_folder() + "/generation_config.json", std::ios::binary) << recommended;
  return {mill::literal_override("model.path", model_folder(), "model"),
          mill::parse_override("sampling.from_model=true")};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view whole(reinterpret_cast<const char*>(data), size), text = whole.substr(0, whole.find('\0'));
  RunConfig config;
  try {
    config = mill::parse_config(
        text, "run.yaml", text.size() < size ? publish(whole.substr(text.size() + 1)) : std::vector<mill::Override>());
  } catch (const UserError&) {
    return 0;
  }
  const std::string written = mill::to_yaml(config);
  try {
    const RunConfig again = mill::parse_resolved(written, "config.yaml", {});
    expect(mill::differing_keys(config, again).empty(), "the settings come back");
    expect(mill::to_yaml(again) == written, "and are written the same");
  } catch (const UserError& error) {
    expect(false, (std::string("what is written can be read: ") + error.what()).c_str());
  }
  return 0;
}
