#include "dataset/prompts/prompt_bodies.hpp"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/text/utf8.hpp"

namespace moemill::dataset {

void take_text(std::string text, Prompt& prompt) {
  prompt.text = std::move(text);
  if (prompt.text.empty()) {
    prompt.fault = RowFault{ErrorCode::Empty, "the prompt is empty"};
  } else if (auto at = first_bad_utf8(prompt.text)) {
    prompt.fault = RowFault{ErrorCode::BadUtf8, fmt::format("the prompt is not UTF-8 at byte {}", *at)};
  }
}

void take_tokens(const std::vector<std::int64_t>& ids, Prompt& prompt) {
  const auto is_bad = [](std::int64_t id) { return id < 0 || id > std::numeric_limits<TokenId>::max(); };
  const auto bad = std::find_if(ids.begin(), ids.end(), is_bad);
  if (ids.empty()) {
    prompt.fault = RowFault{ErrorCode::Empty, "the prompt has no tokens"};
  } else if (bad != ids.end()) {
    prompt.fault = RowFault{ErrorCode::BadToken,
                            fmt::format("token {} of the prompt is {}, which is no token id", bad - ids.begin(), *bad)};
  } else {
    prompt.token_ids.assign(ids.begin(), ids.end());
  }
}

}  // namespace moemill::dataset
