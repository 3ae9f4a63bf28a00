// Whether a job fits into memory, and what is short if not.
#include "plan/fit.hpp"

#include <doctest/doctest.h>

#include "base/error.hpp"

using namespace moemill;
using namespace moemill::mill;

namespace {

constexpr std::uint64_t gib = std::uint64_t{1} << 30;

struct Job {
  model::ModelConfig model = model::read_config(std::string(MOEMILL_TEST_DATA) + "/models/deepseek_v3");
  ParallelSettings parallel;

  Job() {
    parallel.expert_domain = "world", parallel.max_num_seqs = 16, parallel.max_num_batched_tokens = 128,
    parallel.threads_per_rank = 1;
  }
  Fit on_nodes_of(std::uint64_t bytes) const {
    FitQuestion question{model, parallel, shape_of(parallel, nodes_in_a_row(4, 2)), 1000, 300, bytes};
    return fit(question);
  }
};

}  // namespace

TEST_CASE("a job that fits has room for all sequences that a rank works on") {
  const Fit fit = Job().on_nodes_of(64 * gib);
  CHECK(fit.shortage == Fit::Shortage::None);
  CHECK(fit.ranks_on_node == 2);
  CHECK(fit.available.bytes == 64 * gib);
  CHECK(fit.sequences_at_a_time == 16);
  CHECK(fit.sequences_wanted == 16);
  CHECK(fit.cache_bytes == fit.wanted_cache_bytes);
  CHECK(fit.rank_bytes() > fit.cache_bytes);
  CHECK(fit.node_bytes == fit.weights.shared_bytes + 2 * fit.rank_bytes());
}

TEST_CASE("a job that does not fit says what is short") {
  Job job;
  const Fit roomy = job.on_nodes_of(64 * gib);
  const std::uint64_t without_cache = roomy.node_bytes - 2 * roomy.cache_bytes;
  // A GiB of tolerance, because the process itself may have grown.
  CHECK(job.on_nodes_of(without_cache + gib).shortage == Fit::Shortage::None);
  CHECK(job.on_nodes_of(without_cache / 2).shortage == Fit::Shortage::All);
  job.parallel.kv_cache_tokens = std::uint64_t{1} << 30;
  const Fit large = job.on_nodes_of(without_cache + gib);
  CHECK(large.shortage == Fit::Shortage::Cache);
  CHECK(large.kept_free_bytes == 0);  // an explicit size has no margin
  CHECK(large.wanted_cache_bytes == roomy.cache_bytes);
  job.parallel.kv_cache_tokens = 64;
  CHECK_THROWS_AS(job.on_nodes_of(64 * gib), UserError);
}

TEST_CASE("with node_memory off every rank of a node needs its weights") {
  Job job;
  const Fit shared = job.on_nodes_of(64 * gib);
  job.parallel.node_memory = "off";
  const Fit separate = job.on_nodes_of(64 * gib);
  CHECK(separate.weights.shared_bytes == 0);
  CHECK(separate.rank_bytes() > separate.weights.rank_bytes + separate.cache_bytes);
  CHECK(separate.weights.node_bytes > shared.weights.node_bytes);
  CHECK(separate.node_bytes > shared.node_bytes);
}

TEST_CASE("each rank makes room for all sequences of a small job, because any of them may get it") {
  Job job;
  const auto cache_of = [&](std::uint64_t sequences) {
    return fit({job.model, job.parallel, shape_of(job.parallel, nodes_in_a_row(4, 2)), sequences, 300, 64 * gib})
        .cache_bytes;
  };
  CHECK(cache_of(8) == 8 * cache_of(1));
  CHECK(cache_of(64) == 16 * cache_of(1));  // at most max_num_seqs
}

TEST_CASE("an automatic cache leaves a fifth free") {
  CHECK(cache_budget(1000, 1) == 800);
  CHECK(cache_budget(1000, 3) == 266);
}
