// Tokens per second of a layout: one phase alone, work that is queued at once, and phases together. All from
// predict_step and memory_use.
#pragma once

#include <cstdint>

#include "plan/estimate/memory.hpp"
#include "plan/estimate/step.hpp"

namespace moemill::estimate {

struct Rate {
  double tokens_per_second = 0;  // per GPU
  StepTime time;                 // that the count is over: a step, or all steps of the work
  double sequences = 0;          // per GPU, at a time
  double waves = 1;              // of sequences, one after the other
  double room = 0;               // sequences of this length that fit on a GPU
};

// Prompt tokens that are computed: `rows` per GPU and step, of prompts of `prompt_tokens` tokens, of which a cache
// holds the first `cached` ones.
Rate prefill_rate(const Setting& setting, double rows, double prompt_tokens, double cached = 0);

struct DecodeRows {
  double rows = 0;  // per GPU and step
  double context = 0;
  double rows_per_sequence = 1;  // more than 1: the others are drafts
  double kept_per_sequence = 1;  // tokens that a sequence gains per step
};
// Generated tokens.
Rate decode_rate(const Setting& setting, const DecodeRows& decode);

struct QueuedWork {
  double requests = 0;  // of the whole group, all of the same lengths and all there at the beginning
  double input_tokens = 0;
  double output_tokens = 0;
  double prompt_rows = 0;  // per GPU and step
};
// Generated tokens over the time of prompts and generation. Sequences have room for their full length before they
// start, and end together: they run in ceil(requests / room) waves of equal size. Decode sees input + output / 2
// positions on average. UserError if not even one sequence fits.
Rate queued_rate(const Setting& setting, const QueuedWork& work);

// What one prompt costs in tokens, and what a GPU does of each.
struct Phases {
  double prompt_tokens = 0;     // per prompt, without those that a cache already holds
  double generated_tokens = 0;  // per prompt
  double prefill_tokens_per_second = 0;
  double decode_tokens_per_second = 0;
};
// Prompts per second of GPUs that do both phases in turn.
double prompts_per_second(const Phases& phases, double gpus);
// With GPUs for each phase alone: the slower pool decides.
double prompts_per_second(const Phases& phases, double prefill_gpus, double decode_gpus);

}  // namespace moemill::estimate
