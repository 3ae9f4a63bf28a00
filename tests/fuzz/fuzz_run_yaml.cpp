// Any text as run.yaml or a run directory's config.yaml: refused with a UserError, or settings that come back the same
// from the text that is written of them.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/error.hpp"
#include "mill/config.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace moemill;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  RunConfig config;
  try {
    config = mill::parse_config(text, "run.yaml", {});
  } catch (const UserError&) {
    return 0;
  }
  const std::string written = mill::to_yaml(config);
  try {
    const RunConfig again = mill::parse_config(written, "config.yaml", {});
    expect(mill::differing_keys(config, again).empty(), "the settings come back");
    expect(mill::to_yaml(again) == written, "and are written the same");
  } catch (const UserError& error) {
    expect(false, (std::string("what is written can be read: ") + error.what()).c_str());
  }
  return 0;
}
