#include "plan/estimate/throughput.hpp"

#include <algorithm>
#include <cmath>

#include "base/error.hpp"

namespace moemill::estimate {

using model::Pass;

Rate prefill_rate(const Setting& setting, double rows, double prompt_tokens, double cached) {
  Rate rate;
  rate.time = predict_step(setting, {Pass::Prompt, rows, prompt_tokens, 1, cached});
  rate.tokens_per_second = rows / rate.time.seconds();
  rate.sequences = rows / (prompt_tokens - cached);
  rate.room = memory_use(setting, prompt_tokens).sequences();
  return rate;
}

Rate decode_rate(const Setting& setting, const DecodeRows& decode) {
  Rate rate;
  rate.time = predict_step(setting, {Pass::Generated, decode.rows, decode.context, decode.rows_per_sequence});
  rate.sequences = decode.rows / decode.rows_per_sequence;
  rate.tokens_per_second = rate.sequences * decode.kept_per_sequence / rate.time.seconds();
  rate.room = memory_use(setting, decode.context).sequences();
  return rate;
}

Rate queued_rate(const Setting& setting, const QueuedWork& work) {
  Rate rate;
  const double mine = work.requests / setting.layout.gpus;
  rate.room = memory_use(setting, work.input_tokens + work.output_tokens).sequences();
  if (rate.room < 1)
    user_error(
        "{} with {} GPUs has no room for one sequence of {:.0f} tokens beside the weights; more GPUs, shorter "
        "sequences or fewer bits",
        setting.hardware.name, setting.layout.gpus, work.input_tokens + work.output_tokens);
  rate.waves = std::ceil(mine / rate.room);
  rate.sequences = mine / rate.waves;
  const double prompt_tokens = mine * work.input_tokens;
  const double prompt_rows = std::min(work.prompt_rows, prompt_tokens);
  rate.time.add(predict_step(setting, {Pass::Prompt, prompt_rows, work.input_tokens}), prompt_tokens / prompt_rows);
  const double context = work.input_tokens + work.output_tokens / 2;
  rate.time.add(predict_step(setting, {Pass::Generated, rate.sequences, context}), rate.waves * work.output_tokens);
  rate.tokens_per_second = mine * work.output_tokens / rate.time.seconds();
  return rate;
}

double prompts_per_second(const Phases& phases, double gpus) {
  return gpus / (phases.prompt_tokens / phases.prefill_tokens_per_second +
                 phases.generated_tokens / phases.decode_tokens_per_second);
}

double prompts_per_second(const Phases& phases, double prefill_gpus, double decode_gpus) {
  return std::min(prefill_gpus * phases.prefill_tokens_per_second / phases.prompt_tokens,
                  decode_gpus * phases.decode_tokens_per_second / phases.generated_tokens);
}

}  // namespace moemill::estimate
