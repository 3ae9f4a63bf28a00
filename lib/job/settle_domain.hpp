// What parallel.expert_domain: auto stands for in this attempt: decided once the attempt knows its work, before
// anything of the model is loaded. Used by run_job.
#pragma once

#include "base/run_config.hpp"
#include "model/config.hpp"
#include "plan/job_size.hpp"
#include "plan/ranks.hpp"

namespace moemill::mill {

// Arranges the ranks anew if the choice (plan/expert_domain.hpp) is not the world; does nothing if expert_domain is not
// auto. Rank 0 chooses for all, by the node with least memory, and logs the reasons if there are several nodes.
// `process_bytes` is what a rank takes without the
// model, before the survey of the prompts took memory for a while. Collective.
void settle_domain(Ranks& ranks, const RunConfig& config, const model::ModelConfig& model, const JobEstimate& job,
                   std::uint64_t process_bytes);

}  // namespace moemill::mill
