// Drives layers::Forward the way a scheduler would, but in any layout a test asks for: texts are dealt over ranks,
// prompts cut into chunks, tokens generated greedily or replayed, several at a time. Answers hold every row's logits,
// which only a trace sees.
#pragma once

#include <algorithm>
#include <array>
#include <cstring>
#include <numeric>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "layers/micro_batches.hpp"
#include "layers/on_cpu.hpp"
#include "layers/trace.hpp"
#include "model/config.hpp"
#include "schedule/step.hpp"
#include "support/placements.hpp"
#include "system/comm/comm.hpp"

namespace moemill::test {

struct Text {
  std::vector<TokenId> prompt;
  std::uint32_t generate = 1;       // tokens wanted, replayed ones included
  std::vector<TokenId> replayed{};  // generated before and only computed again
};

struct Layout {
  int ranks = 1;
  int threads = 1;
  std::uint32_t micro_batches = 1;
  cpu::Isa isa = cpu::best_isa();
  std::uint32_t chunk = 4096;      // prompt rows per step
  std::uint32_t replay_chunk = 1;  // replayed rows per step
  std::uint32_t sequences = 64;    // at a time, per rank
  std::uint32_t page_stride = 1;   // odd: order in which pages are handed out
  Spread experts = Spread::Slices;
  int ranks_per_node = 64;  // ranks that share memory
  Arithmetic arithmetic = Arithmetic::Bf16;
  std::optional<ExpertSum> expert_sum = {};  // empty: the model's
};

inline model::ModelConfig config_for(const std::string& dir, const Layout& layout) {
  model::ModelConfig config = model::read_config(dir);
  config.arithmetic = layout.arithmetic;
  config.expert_sum = layout.expert_sum.value_or(config.expert_sum);
  return config;
}

struct Answer {
  std::vector<TokenId> generated;
  std::vector<float> logits;  // [prompt + generated - 1, vocabulary]
};

inline bool operator==(const Answer& a, const Answer& b) {
  return a.generated == b.generated && a.logits.size() == b.logits.size() &&
         std::memcmp(a.logits.data(), b.logits.data(), a.logits.size() * sizeof(float)) == 0;
}

inline TokenId best_token(const float* logits, std::size_t vocabulary) {
  return static_cast<TokenId>(std::max_element(logits, logits + vocabulary) - logits);
}

// One rank of the job. trace: of the last step.
template <class On>
class Player {
 public:
  Player(Comm comm, const std::string& dir, const std::vector<Text>& texts, const Layout& layout)
      : comm_(comm),
        texts_(texts),
        layout_(layout),
        config_(config_for(dir, layout)),
        placement_(placement_for(config_, static_cast<std::uint32_t>(comm.size()), layout.experts)),
        memory_(memory_of_ranks()),
        weights_(On::weights(dir, config_, placement_, {comm.rank()}, experts_of_node())),
        stream_(On::stream(layout.threads, layout.isa)),
        settings_{.max_rows = 4096,
                  .pages = pages,
                  .window_pages = pages,
                  .micro_batches = layout.micro_batches,
                  .trace = &trace_},
        forward_(stream_, config_, weights_, placement_,
                 layers::join_domain(comm, memory_, memory_, layers::exchange_shape(config_, settings_)), settings_) {
    const std::uint32_t windowed = model::windowed_layers(config_);
    in_use_ = {windowed<config_.layers, windowed> 0};
    for (std::uint32_t i = 0; i < pages; ++i) {
      for (auto& group : free_) group.push_back({static_cast<std::int32_t>(i * layout.page_stride % pages)});
    }
    for (std::size_t i = 0; i < texts.size(); ++i) {
      if (static_cast<int>(i) % comm.size() == comm.rank()) waiting_.push_back(i);
    }
  }

  // answers: of all texts; this rank fills in its own.
  void play(std::vector<Answer>& answers) {
    while (true) {
      admit(answers);
      build();
      if (!anyone(step_.rows() > 0)) return;
      forward_.run(step_);
      take(answers);
    }
  }
  const layers::Trace& trace() const { return trace_; }
  const model::ModelConfig& config() const { return config_; }

 private:
  using Forward = layers::Forward<typename On::Backend>;
  static constexpr std::uint32_t pages = 256;

  struct Running {
    std::size_t text;
    std::vector<TokenId> tokens;  // known so far
    std::uint32_t done = 0;       // rows computed
    std::uint32_t in_step = 0;
    std::array<std::vector<PageId>, schedule::page_groups> pages;
  };
  static constexpr std::size_t window_group = static_cast<std::size_t>(schedule::PageGroup::Window);

  std::vector<int> memory_of_ranks() const {
    std::vector<int> memory;
    for (int r = 0; r < comm_.size(); ++r) memory.push_back(r / layout_.ranks_per_node);
    return memory;
  }
  model::NodeExperts experts_of_node() const {
    const layers::DomainNodes nodes(memory_);
    return layers::experts_of(placement_, nodes.ranks_of(nodes.node_of(comm_.rank())));
  }

  bool anyone(bool here) {
    std::vector<std::byte> all(static_cast<std::size_t>(comm_.size()));
    const std::byte mine{here};
    comm_.all_gather({&mine, 1}, all);
    return std::any_of(all.begin(), all.end(), [](std::byte b) { return b != std::byte{0}; });
  }

  void admit(std::vector<Answer>& answers) {
    while (!waiting_.empty() && running_.size() < layout_.sequences) {
      const Text& text = texts_[waiting_.front()];
      Running r{.text = waiting_.front(), .tokens = text.prompt, .pages = {}};
      r.tokens.insert(r.tokens.end(), text.replayed.begin(), text.replayed.end());
      answers[r.text].generated = text.replayed;
      const std::size_t positions = text.prompt.size() + text.generate;
      for (std::size_t g = 0; g < schedule::page_groups; ++g) {
        if (!in_use_[g]) continue;
        for (std::size_t p = 0; p < positions; p += schedule::page_tokens) {
          r.pages[g].push_back(free_[g].back());
          free_[g].pop_back();
        }
      }
      waiting_.erase(waiting_.begin());
      running_.push_back(std::move(r));
    }
  }

  void add(Running& r, schedule::RowKind kind, std::uint32_t rows) {
    r.in_step = rows;
    if (in_use_[window_group]) give_back_pages(r);
    const std::size_t group = in_use_[0] ? 0 : window_group;  // where both are in use their lists are parallel
    step_.segments.push_back({kind, step_.rows(), rows, r.done, static_cast<std::uint32_t>(step_.pages[group].size()),
                              static_cast<std::uint32_t>(r.pages[group].size())});
    for (std::size_t g = 0; g < schedule::page_groups; ++g) {
      step_.pages[g].insert(step_.pages[g].end(), r.pages[g].begin(), r.pages[g].end());
    }
    for (std::uint32_t i = 0; i < rows; ++i) {
      step_.logit_rows.push_back(step_.rows());
      step_.tokens.push_back(r.tokens[r.done + i]);
      step_.positions.push_back(r.done + i);
    }
  }

  // Gives back the pages that no row from r.done on can see, so that different sequences overwrite them.
  void give_back_pages(Running& r) {
    const std::uint32_t window = config_.gqa.window;
    const std::uint32_t first_seen = r.done + 1 > window ? r.done + 1 - window : 0;
    for (std::size_t p = 0; (p + 1) * schedule::page_tokens <= first_seen; ++p) {
      PageId& page = r.pages[window_group][p];
      if (page.value >= 0) free_[window_group].push_back(page);
      page = {-1};
    }
  }

  void build() {
    step_.clear();
    step_.micro_batches = ++steps_ % 3 == 0 ? 1 : layout_.micro_batches;  // any step may have one
    for (Running& r : running_) {
      if (r.done >= prompt(r)) {
        add(r, schedule::RowKind::Generated, std::min({layout_.replay_chunk, left(r), rows_wanted(r) - r.done}));
      }
    }
    for (Running& r : running_) {
      if (r.done < prompt(r)) {
        add(r, schedule::RowKind::Prompt, std::min<std::uint32_t>(layout_.chunk, prompt(r) - r.done));
      }
    }
  }

  std::uint32_t prompt(const Running& r) const { return static_cast<std::uint32_t>(texts_[r.text].prompt.size()); }
  // The last token wanted is never computed.
  std::uint32_t rows_wanted(const Running& r) const { return prompt(r) + std::max(texts_[r.text].generate, 1u) - 1; }
  static std::uint32_t left(const Running& r) { return static_cast<std::uint32_t>(r.tokens.size()) - r.done; }

  void take(std::vector<Answer>& answers) {
    // Sequences in the order of their rows in the step.
    std::vector<Running*> order;
    for (Running& r : running_) {
      if (r.done >= prompt(r)) order.push_back(&r);
    }
    for (Running& r : running_) {
      if (r.done < prompt(r)) order.push_back(&r);
    }
    std::size_t row = 0;
    for (Running* r : order) {
      Answer& a = answers[r->text];
      for (std::uint32_t i = 0; i < r->in_step; ++i, ++row) {
        const float* logits = trace_.logits.data() + row * config_.vocabulary;
        a.logits.insert(a.logits.end(), logits, logits + config_.vocabulary);
      }
      r->done += r->in_step;
      if (left(*r) == 0 && a.generated.size() < texts_[r->text].generate) {
        a.generated.push_back(best_token(a.logits.data() + a.logits.size() - config_.vocabulary, config_.vocabulary));
        r->tokens.push_back(a.generated.back());
      }
    }
    std::erase_if(running_, [&](const Running& r) {
      const bool over = answers[r.text].generated.size() >= texts_[r.text].generate && r.done >= rows_wanted(r);
      for (std::size_t g = 0; over && g < schedule::page_groups; ++g) {
        for (PageId page : r.pages[g]) {
          if (page.value >= 0) free_[g].push_back(page);
        }
      }
      return over;
    });
  }

  Comm comm_;
  const std::vector<Text>& texts_;
  const Layout layout_;
  const model::ModelConfig config_;
  const model::Placement placement_;
  const std::vector<int> memory_;
  const typename Forward::Weights weights_;
  typename Forward::Stream stream_;
  layers::Trace trace_;
  const layers::ForwardSettings settings_;
  Forward forward_;
  schedule::Step step_;
  std::uint32_t steps_ = 0;
  std::array<bool, schedule::page_groups> in_use_{};
  std::array<std::vector<PageId>, schedule::page_groups> free_;
  std::vector<std::size_t> waiting_;
  std::vector<Running> running_;
};

// The whole job on loopback ranks.
template <class On>
std::vector<Answer> answer(const std::string& dir, const std::vector<Text>& texts, const Layout& layout) {
  std::vector<Answer> answers(texts.size());
  run_loopback(layout.ranks, [&](Comm comm) { Player<On>(comm, dir, texts, layout).play(answers); });
  return answers;
}

}  // namespace moemill::test
