#include "generate/generator.hpp"

#include <algorithm>
#include <limits>

#include "base/clock.hpp"
#include "base/error.hpp"
#include "base/hash.hpp"
#include "base/numbers/random.hpp"
#include "plan/forecast/step_facts.hpp"

namespace moemill::mill {
namespace {

std::size_t top_count(const SamplingParams& params, std::uint32_t vocabulary) {
  return std::min<std::size_t>(params.logprobs.value_or(0), vocabulary);
}

}  // namespace

Generator::Generator(Parts parts, const schedule::SchedulerSettings& settings, TextRules text)
    : parts_(parts), text_(text), scheduler_(settings) {}

bool Generator::fits(const PreparedPrompt& prompt) const {
  return scheduler_.fits(prompt.tokens.size(), prompt.sampling.max_tokens, prompt.sampling.n);
}

void Generator::add(const PreparedPrompt& prompt, std::span<const std::uint32_t> missing_samples,
                    std::vector<dataset::PartialSample> partials, Score score, std::uint32_t shared_tokens) {
  schedule::PromptWork work{prompt.index, prompt.tokens, prompt.sampling, {}};
  work.planned_tokens = shared_tokens;
  work.params.prompt_logprobs = work.params.prompt_logprobs && score == Score::Wanted;
  const std::uint64_t id_hash = stable_hash64(dataset::to_text(prompt.id));
  for (std::uint32_t sample : missing_samples)
    work.samples.push_back({sample, sample_seed(prompt.sampling.seed, id_hash, sample), {}});
  for (auto& partial : partials) {
    auto it = std::find_if(work.samples.begin(), work.samples.end(),
                           [&](const auto& s) { return s.sample_index == partial.sample_index; });
    if (it == work.samples.end() || partial.token_ids.size() >= work.params.max_tokens) continue;
    it->resumed = partial.token_ids;
    resumed_[{prompt.index, partial.sample_index}] = std::move(partial);
  }
  PromptFacts& facts = prompts_[key_of(work)];
  facts = {prompt.id, static_cast<std::uint32_t>(missing_samples.size())};
  if (work.params.prompt_logprobs)
    work.scores = std::make_shared<std::vector<float>>(work.tokens.size(), std::numeric_limits<float>::quiet_NaN());
  scheduler_.add(std::move(work));
}

void Generator::step(const schedule::Decision& decision, calibration::StepFacts* held) {
  step_began_ = now_seconds();
  const schedule::Step& step = scheduler_.plan_step(decision);
  last_rows_ = step.rows();
  if (held) *held = facts_of(scheduler_, step);
  for (const auto& segment : step.segments)
    if (segment.kind == schedule::RowKind::Prompt) prompt_tokens_ += segment.rows;
  parts_.backend.run(step);
  draw();
  scheduler_.commit(drawn_);
  collect();
}

void Generator::draw() {
  while (tracks_.size() < scheduler_.slot_count()) tracks_.emplace_back();
  ask_for_scores();
  ask_for_samples();
  parts_.backend.draw({targets_, scores_, requests_, results_});
  take_answers();
}

void Generator::ask_for_scores() {
  targets_.clear();
  for (const auto& use : scheduler_.uses())
    if (use.purpose == schedule::LogitPurpose::PromptLogprob)
      targets_.push_back({use.logit_index, scheduler_.sequence(use.slot).prompt->tokens[use.index]});
  scores_.resize(targets_.size());
}

void Generator::ask_for_samples() {
  const std::uint32_t vocabulary = parts_.config.vocabulary;
  requests_.clear();
  std::size_t tops = 0;
  for (const auto& use : scheduler_.uses())
    if (use.purpose == schedule::LogitPurpose::Sample)
      tops += top_count(scheduler_.sequence(use.slot).prompt->params, vocabulary);
  top_.resize(tops);
  tops = 0;
  for (const auto& use : scheduler_.uses()) {
    if (use.purpose != schedule::LogitPurpose::Sample) continue;
    const schedule::Sequence& sequence = scheduler_.sequence(use.slot);
    if (use.index == sequence.resumed) start_track(use.slot);
    const SamplingParams& params = sequence.prompt->params;
    const std::size_t k = top_count(params, vocabulary);
    requests_.push_back({use.logit_index, &params, sequence.prompt->tokens, sequence.generated,
                         track(use.slot).stop_tokens, sequence.seed, std::span(top_).subspan(tops, k)});
    tops += k;
  }
  results_.assign(requests_.size(), {});
}

void Generator::take_answers() {
  drawn_.clear();
  std::size_t score = 0, sample = 0;
  for (const auto& use : scheduler_.uses()) {
    if (use.purpose == schedule::LogitPurpose::Sample) {
      drawn_.push_back(take_token(use, results_[sample], requests_[sample].top));
      ++sample;
    } else {
      (*scheduler_.sequence(use.slot).prompt->scores)[use.index] = scores_[score++];
    }
  }
}

// Called at a sample's first draw. Tokens of an earlier attempt go through decoder and stopping once more; they did not
// end the sample then, so they do not end it now.
void Generator::start_track(SlotId slot) {
  const schedule::Sequence& sequence = scheduler_.sequence(slot);
  const SamplingParams& params = sequence.prompt->params;
  Track& t = track(slot);
  t.stop_tokens = sample::stop_tokens(params, parts_.config.eos);
  t.text.clear();
  t.extras = {};
  t.began = step_began_;
  t.decoder.reset();
  if (parts_.tokenizer && (text_.decode == DecodeText::Yes || !params.stop.empty())) {
    t.decoder.emplace(*parts_.tokenizer, text_.skip);
    t.decoder->read_prompt(sequence.prompt->tokens);
  }
  t.stopping.start(params, t.stop_tokens);
  if (auto it = resumed_.find({sequence.prompt->prompt_index, sequence.sample_index}); it != resumed_.end()) {
    t.extras = std::move(it->second);
    resumed_.erase(it);
  }
  for (TokenId token : sequence.generated) {
    const std::size_t before = t.text.size();
    if (t.decoder) t.decoder->push(token, t.text);
    t.stopping.push(token, std::string_view(t.text).substr(before));
  }
}

schedule::Drawn Generator::take_token(const schedule::LogitUse& use, const sample::SampleResult& result,
                                      std::span<const sample::TokenLogprob> top) {
  if (!result.finite) return {0, schedule::FinishReason::Error};
  Track& t = track(use.slot);
  ++generated_tokens_;
  if (scheduler_.sequence(use.slot).prompt->params.logprobs) {
    t.extras.logprobs.push_back(result.logprob);
    for (const auto& best : top) {
      t.extras.top_ids.push_back(best.token);
      t.extras.top_values.push_back(best.logprob);
    }
  }
  const std::size_t before = t.text.size();
  // A stop token adds nothing to the text: it is in token_ids only.
  const bool ends = std::binary_search(t.stop_tokens.begin(), t.stop_tokens.end(), result.token);
  if (t.decoder && !ends) t.decoder->push(result.token, t.text);
  return {result.token, t.stopping.push(result.token, std::string_view(t.text).substr(before))};
}

void Generator::collect() {
  for (SlotId slot : scheduler_.finished()) {
    const schedule::PromptWork& work = *scheduler_.sequence(slot).prompt;
    auto it = prompts_.find(key_of(work));
    expect(it != prompts_.end(), "a finished sequence belongs to a prompt on hand");
    if (work.scores && !it->second.any_ended) ended_.scores.push_back({work.prompt_index, *work.scores});
    ended_.completions.push_back(completion_of(slot, it->second));
    row_seconds_.add(now_seconds() - (ended_.completions.back().token_ids.empty() ? step_began_ : track(slot).began));
    // All tokens of a prompt that is only scored are counted, although its last one is never computed.
    const bool looked_at = work.params.max_tokens > 0 || work.params.prompt_logprobs;
    if (std::exchange(it->second.any_ended, true) && looked_at) sample_tokens_ += work.tokens.size();
    if (--it->second.samples_left > 0) continue;
    if (looked_at) prompt_tokens_ += work.tokens.size() - work.prompt_rows();
    prompts_.erase(it);
  }
}

dataset::Completion Generator::completion_of(SlotId slot, const PromptFacts& prompt) {
  const schedule::Sequence& sequence = scheduler_.sequence(slot);
  const auto& work = *sequence.prompt;
  if (sequence.finish == schedule::FinishReason::Error) {
    auto row = dataset::failed_row(
        work.prompt_index, sequence.sample_index, prompt.id,
        {dataset::ErrorCode::Internal,
         fmt::format("the model's logits for token {} are not finite numbers", sequence.generated.size())});
    row.num_prompt_tokens = static_cast<std::uint32_t>(work.tokens.size());
    row.seed = sequence.seed;
    return row;
  }
  Track& t = track(slot);
  if (sequence.generated.empty()) t = {};  // only scored: the slot's track is an earlier sequence's
  dataset::Completion row;
  row.prompt_index = work.prompt_index;
  row.sample_index = sequence.sample_index;
  row.id = prompt.id;
  row.status = dataset::RowStatus::Ok;
  row.finish_reason = sequence.finish;
  row.num_prompt_tokens = static_cast<std::uint32_t>(work.tokens.size());
  row.seed = sequence.seed;
  row.token_ids = sequence.generated;
  row.logprobs = std::move(t.extras.logprobs);
  row.top_ids = std::move(t.extras.top_ids);
  row.top_values = std::move(t.extras.top_values);
  if (work.params.logprobs) {
    double sum = 0;  // in the order of the tokens
    for (float logprob : row.logprobs) sum += logprob;
    row.cumulative_logprob = static_cast<float>(sum);
  }
  if (sequence.finish == schedule::FinishReason::StopString) row.stop_reason = t.stopping.stop_string();
  if (sequence.finish == schedule::FinishReason::Stop) row.stop_reason = std::to_string(row.token_ids.back());
  if (t.decoder && text_.decode == DecodeText::Yes) {
    if (sequence.finish == schedule::FinishReason::StopString) {
      t.text.resize(t.stopping.text_bytes());
    } else {
      t.decoder->finish(t.text);
    }
    row.text = std::move(t.text);
  }
  return row;
}

std::vector<dataset::PartialSample> Generator::partials() const {
  std::vector<dataset::PartialSample> all;
  for (const schedule::Partial& p : scheduler_.partials()) {
    dataset::PartialSample partial;
    // Before the slot's first draw, the logprobs are still in the earlier attempt's partial.
    if (auto it = resumed_.find({p.prompt_index, p.sample_index}); it != resumed_.end()) {
      partial = it->second;
    } else {
      expect(p.slot.value >= 0, "a sample with new tokens has a slot");
      partial = tracks_[static_cast<std::size_t>(p.slot.value)].extras;
    }
    partial.prompt_index = p.prompt_index;
    partial.sample_index = p.sample_index;
    partial.token_ids.assign(p.tokens.begin(), p.tokens.end());
    all.push_back(std::move(partial));
  }
  return all;
}

}  // namespace moemill::mill
