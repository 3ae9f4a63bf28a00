// What `moemill help run.yaml` and configs/README.md say of the keys.
#include <doctest/doctest.h>

#include "base/readable.hpp"
#include "config/config.hpp"

using namespace moemill;
using namespace moemill::mill;

TEST_CASE("help fits a terminal, and names every key") {
  const std::string text = describe_keys(), page = keys_page();
  for (std::size_t at = 0, end = 0; at < text.size(); at = end + 1) {
    end = text.find('\n', at);
    CHECK_MESSAGE(end - at <= 100, text.substr(at, end - at));
  }
  for (const char* line : {"| `sampling.top_k` | `0` | 0 (off; also -1) or a number of tokens up to 2^30 | yes | yes |",
                           "| `output.dir` | `runs/NAME` |"})
    CHECK_MESSAGE(page.find(line) != std::string::npos, line);
}

TEST_CASE("configs/README.md is the table's page: moemill help run.yaml > configs/README.md") {
  CHECK(read_text_file(MOEMILL_SOURCE_DIR "/configs/README.md") == keys_page());
}
