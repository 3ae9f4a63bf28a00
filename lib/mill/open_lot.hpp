// A lot in the hands of the rank that it was dealt to: its prompts are read, prepared and given to the generator. Used
// by the loop.
#pragma once

#include <cstdint>
#include <vector>

#include "dataset/rows.hpp"
#include "generate/generator.hpp"
#include "mill/shard_inputs.hpp"
#include "schedule/lots.hpp"

namespace moemill::mill {

// What earlier attempts left of one prompt, as its keeper tells the rank that continues it.
struct BegunPrompt {
  std::uint64_t prompt_index = 0;
  std::vector<std::uint32_t> missing;  // samples
  Generator::Score score = Generator::Score::Wanted;
  std::vector<dataset::PartialSample> partials;
};
// A lot with the prompts of which something is missing, in ascending order.
struct BegunLot {
  std::uint64_t first_prompt = 0;
  std::uint32_t first_sample = 0;
  std::vector<BegunPrompt> prompts;
  enum class Parts : std::uint8_t { All, MoreToCome } parts = Parts::All;
  // Adds a part that came in a later letter; a prompt may be in both.
  void add(BegunLot part);
};

struct OpenedLot {
  std::vector<dataset::Completion> failed;  // rows of prompts with a fault
  std::vector<TokenId> last_tokens;         // of the prompt at the last place, if the lot is placed
};
// Hands the lot's samples to `generator`. `begun` is null if the lot is not begun. UserError if a prompt does not fit
// the KV cache at all.
OpenedLot open_lot(const schedule::Lot& lot, const BegunLot* begun, const ShardInputs& inputs, Generator& generator);

}  // namespace moemill::mill
