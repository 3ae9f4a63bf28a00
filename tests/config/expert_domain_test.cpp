// parallel.expert_domain in run.yaml: its words, which stay as they were said.
#include <doctest/doctest.h>

#include "base/error.hpp"
#include "config/config.hpp"

using namespace moemill;
using namespace moemill::mill;

TEST_CASE("expert_domain is auto, world, node or a number of ranks") {
  const auto domain_of = [](const std::string& word) {
    const RunConfig c = parse_config("", "run.yaml", {parse_override("parallel.expert_domain=" + word)});
    CHECK(parse_config(to_yaml(c), "config.yaml", {}).parallel.expert_domain == c.parallel.expert_domain);
    return c.parallel.expert_domain;
  };
  CHECK(RunConfig().parallel.expert_domain == "auto");
  for (const char* word : {"auto", "world", "node", "12"}) CHECK(domain_of(word) == word);
  for (const char* word : {"autoo", "0", "-1", "1.5", "[auto]"}) CHECK_THROWS_AS(domain_of(word), UserError);
}
