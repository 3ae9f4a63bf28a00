// The whole forward pass against what transformers computes with the same weights in fp32: the logits of every
// position, and greedy continuations. The yardstick is the error of transformers' own bf16 run.
#include <doctest/doctest.h>

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <limits>

#include "layers/driver.hpp"
#include "layers/goldens.hpp"

using namespace moemill;
using namespace moemill::test;

namespace {

constexpr double allowed = 1.5;     // times transformers' own bf16 error
constexpr double allowed_int8 = 8;  // the same for the median of a model in int8; measured: 2.2 to 5.9

struct Agreement {
  std::vector<double> rms_ratios;    // by prompt
  std::vector<double> clear_ratios;  // by prompt, without rows that a close decision excuses
  std::size_t excused = 0;           // rows
  std::size_t greedy = 0;            // tokens that are transformers'
  std::size_t greedy_wanted = 0;

  std::string row(const std::string& name) const {
    const auto three = [](const std::vector<double>& r) {
      const auto [least, most] = std::minmax_element(r.begin(), r.end());
      return fmt::format("{:.2f} {:.2f} {:.2f}", *least, median(r), *most);
    };
    return fmt::format("{:26} {}   {} ({} rows out)   {}/{}", name, three(rms_ratios), three(clear_ratios), excused,
                       greedy, greedy_wanted);
  }
};

std::vector<Text> texts_of(const Goldens& goldens, std::uint32_t generate) {
  std::vector<Text> texts;
  for (auto& prompt : goldens.prompts()) texts.push_back({prompt, generate});
  return texts;
}

double log_probability(const float* logits, std::size_t vocabulary, TokenId token) {
  const double top = *std::max_element(logits, logits + vocabulary);
  double sum = 0;
  for (std::size_t i = 0; i < vocabulary; ++i) sum += std::exp(logits[i] - top);
  return logits[token] - top - std::log(sum);
}

// The closest decision of any router at each row, relative to what most rows have; infinite where the golden has none.
std::vector<double> closeness(const Goldens& goldens, std::size_t rows) {
  if (!goldens.has("routing_margin")) return std::vector<double>(rows, std::numeric_limits<double>::infinity());
  const auto margins = goldens.read<float>("routing_margin");  // [rows, moe layers]
  const auto layers = static_cast<std::ptrdiff_t>(margins.size() / rows);
  std::vector<double> out;
  for (auto at = margins.begin(); at != margins.end(); at += layers) out.push_back(*std::min_element(at, at + layers));
  const double typical = median(out);
  for (double& c : out) c /= typical;
  return out;
}

// A row with a decision that close may lose a pick to rounding in bf16 and is then another sum, of any difference.
constexpr double coin_toss = 0.1;

void check_logits(const Goldens& goldens, const std::vector<Text>& texts, const std::vector<Answer>& answers,
                  std::size_t vocabulary, Agreement& out) {
  const auto golden = goldens.read<float>("logits");
  const auto logprobs = goldens.read<float>("prompt_logprobs");
  const auto bf16_rms = goldens.read<float>("bf16_rms");
  const auto bf16_median = goldens.read<float>("bf16_median");
  const auto close = closeness(goldens, logprobs.size());
  std::size_t row = 0;
  for (std::size_t p = 0; p < texts.size(); ++p) {
    CAPTURE(p);
    const std::size_t rows = texts[p].prompt.size(), count = rows * vocabulary;
    REQUIRE(answers[p].logits.size() >= count);
    const std::span wanted(golden.data() + row * vocabulary, count), ours(answers[p].logits.data(), count);
    out.rms_ratios.push_back(rms_difference(wanted, ours) / bf16_rms[p]);
    double squares = 0, logprob_squares = 0;
    std::size_t clear = 0;
    std::string far;  // rows: one lost pick makes one, a wrong rule makes most
    for (std::size_t r = 0; r < rows; ++r) {
      if (close[row + r] < coin_toss) continue;
      ++clear;
      const auto ours_r = ours.subspan(r * vocabulary, vocabulary);
      const double error = rms_difference(wanted.subspan(r * vocabulary, vocabulary), ours_r);
      squares += error * error;
      if (error > 2 * allowed * bf16_rms[p]) far += fmt::format(" {} (closeness {:.2f})", r, close[row + r]);
      if (r + 1 == rows) continue;
      const double logprob = log_probability(ours_r.data(), vocabulary, texts[p].prompt[r + 1]);
      logprob_squares += std::pow(logprob - logprobs[row + r + 1], 2);
    }
    row += rows;
    out.excused += rows - clear;
    if (clear == 0) continue;
    out.clear_ratios.push_back(std::sqrt(squares / static_cast<double>(clear)) / bf16_rms[p]);
    CHECK_MESSAGE(out.clear_ratios.back() <= allowed, "far rows of ", rows, ":", far);
    CHECK(median_difference(wanted, ours) <= allowed * bf16_median[p]);
    // A log-probability is a logit less what the others make of it: the errors of both.
    if (clear > 20) CHECK(std::sqrt(logprob_squares / static_cast<double>(clear)) <= 2 * allowed * bf16_rms[p]);
  }
  CHECK(out.excused <= row / 5);
}

void check_greedy(const Goldens& goldens, const std::vector<Answer>& answers, Agreement& out) {
  const auto ids = goldens.read<std::int32_t>("greedy/token_ids");
  const auto margins = goldens.read<float>("greedy/margin");
  const auto bf16_rms = goldens.read<float>("bf16_rms");
  const std::size_t steps = ids.size() / answers.size();
  out.greedy_wanted = ids.size();
  for (std::size_t p = 0; p < answers.size(); ++p) {
    REQUIRE(answers[p].generated.size() == steps);
    for (std::size_t t = 0; t < steps; ++t) {
      const std::size_t i = p * steps + t;
      CAPTURE(p);
      CAPTURE(t);
      // The difference of two logits carries the errors of both; four of these are beyond chance.
      if (margins[i] > 4 * std::sqrt(2.0) * bf16_rms[p]) CHECK(answers[p].generated[t] == ids[i]);
      if (answers[p].generated[t] != ids[i]) break;  // from here on it is another text
      ++out.greedy;
    }
  }
  CHECK(out.greedy >= ids.size() / 2);
}

// Tokens that are transformers', up to the first other one of each prompt.
void count_greedy(const Goldens& goldens, const std::vector<Answer>& answers, Agreement& out) {
  const auto ids = goldens.read<std::int32_t>("greedy/token_ids");
  const std::size_t steps = ids.size() / answers.size();
  out.greedy_wanted = ids.size();
  for (std::size_t p = 0; p < answers.size(); ++p) {
    const auto theirs = std::span(ids).subspan(p * steps, steps);
    const auto& ours = answers[p].generated;
    out.greedy += static_cast<std::size_t>(std::mismatch(ours.begin(), ours.end(), theirs.begin(), theirs.end()).first -
                                           ours.begin());
  }
}

// One rank with the best body against the goldens; every other layout asked for must give the same bytes.
template <class On>
Agreement compare(const std::string& dir, const Goldens& goldens, const std::vector<Layout>& others,
                  std::optional<ExpertSum> sum = {}) {
  Agreement out;
  const auto steps = goldens.read<std::int32_t>("greedy/token_ids").size() / goldens.prompts().size();
  const auto texts = texts_of(goldens, static_cast<std::uint32_t>(steps));
  const auto answers = answer<On>(dir, texts, {.expert_sum = sum});
  check_logits(goldens, texts, answers, model::read_config(dir).vocabulary, out);
  check_greedy(goldens, answers, out);
  for (std::size_t i = 0; i < others.size(); ++i) {
    CAPTURE(i);
    Layout other = others[i];
    other.expert_sum = sum;
    CHECK(answer<On>(dir, texts, other) == answers);
  }
  return out;
}

// Under sanitizers, which are slow, two layouts stand for all: MOEMILL_TEST_FEW_LAYOUTS is set in CMakePresets.json.
std::vector<Layout> bodies_and_ranks() {
  if (std::getenv("MOEMILL_TEST_FEW_LAYOUTS")) return {{.isa = cpu::Isa::Plain}, {.ranks = 3, .chunk = 70}};
  std::vector<Layout> layouts;
  for (const cpu::Isa isa : cpu::all_isas) {
    if (cpu::available(isa)) {
      layouts.push_back({.isa = isa});
      if (isa <= cpu::Isa::Avx512) layouts.push_back({.ranks = 3, .isa = isa, .chunk = 70});
    } else {
      MESSAGE("this CPU has no ", cpu::name(isa), ": not compared");
    }
  }
  return layouts;
}

// Folders of `parent` that hold a model and its golden.h5.
std::vector<std::string> models_in(const std::filesystem::path& parent) {
  std::vector<std::string> names;
  if (!std::filesystem::exists(parent)) return names;
  for (const auto& entry : std::filesystem::directory_iterator(parent)) {
    if (std::filesystem::exists(entry.path() / "golden.h5")) names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

// The arithmetic int8 against transformers in fp32, in transformers' own bf16 errors, and the same bytes in all
// layouts. Nobody's int8 can be asked for more than what rounding costs: its codes are 0.4 % of their groups' largest
// value apart and the sums are exact, so the error is a few of bf16's and stays the same kind of number in every
// family.
template <class On>
Agreement compare_int8(const std::string& dir, const Goldens& goldens, std::vector<Layout> layouts) {
  Agreement out;
  const auto steps = goldens.read<std::int32_t>("greedy/token_ids").size() / goldens.prompts().size();
  const auto texts = texts_of(goldens, static_cast<std::uint32_t>(steps));
  const auto answers = answer<On>(dir, texts, {.arithmetic = Arithmetic::Int8});
  const auto golden = goldens.read<float>("logits"), bf16_rms = goldens.read<float>("bf16_rms");
  const auto close = closeness(goldens, goldens.read<float>("prompt_logprobs").size());
  const std::size_t vocabulary = model::read_config(dir).vocabulary;
  std::size_t row = 0;
  for (std::size_t p = 0; p < texts.size(); ++p) {
    double squares = 0, clear_squares = 0;
    std::size_t clear = 0;
    const std::size_t rows = texts[p].prompt.size();
    for (std::size_t r = 0; r < rows; ++r, ++row) {
      const std::span wanted(golden.data() + row * vocabulary, vocabulary);
      const double square =
          std::pow(rms_difference(wanted, {answers[p].logits.data() + r * vocabulary, vocabulary}), 2);
      squares += square;
      if (close[row] >= coin_toss) clear_squares += square, ++clear;
    }
    out.excused += rows - clear;
    out.rms_ratios.push_back(std::sqrt(squares / static_cast<double>(rows)) / bf16_rms[p]);
    if (clear > 0) out.clear_ratios.push_back(std::sqrt(clear_squares / static_cast<double>(clear)) / bf16_rms[p]);
  }
  count_greedy(goldens, answers, out);
  CHECK(median(out.clear_ratios) <= allowed_int8);
  CHECK(out.greedy >= out.greedy_wanted / 3);  // measured: 111 to 192 of 192
  for (Layout& layout : layouts) {
    layout.arithmetic = Arithmetic::Int8;
    CHECK(answer<On>(dir, texts, layout) == answers);
  }
  return out;
}

// Compares every model and prints the table of what it returns; a model that throws fails alone.
template <class Compare>
void tabulate(const std::vector<std::string>& names, Compare compare_one) {
  std::string table =
      "\nRMS error of the logits in transformers' own bf16 errors: least, median, worst prompt; greedy "
      "tokens that are transformers'\n";
  for (const std::string& name : names) {
    CAPTURE(name);
    try {
      table += compare_one(name).row(name) + "\n";
    } catch (const std::exception& fault) {
      FAIL_CHECK(std::string(fault.what()));
    }
  }
  MESSAGE(table);
}

}  // namespace

TEST_CASE_TEMPLATE(
    "reference models: logits within transformers' bf16 error and its greedy tokens, on all bodies and ranks", On,
    OnCpu) {
  const auto layouts = bodies_and_ranks();
  tabulate(reference_models,
           [&](const std::string& name) { return compare<On>(model_dir(name), Goldens(name), layouts); });
}

TEST_CASE_TEMPLATE("reference models in int8: logits within a few bf16 errors, the same on other bodies and ranks", On,
                   OnCpu) {
  std::vector<Layout> layouts = {{.isa = cpu::Isa::Plain, .chunk = 70}};
  if (cpu::available(cpu::Isa::Avx2)) layouts.push_back({.ranks = 3, .isa = cpu::Isa::Avx2, .chunk = 20});
  tabulate(reference_models,
           [&](const std::string& name) { return compare_int8<On>(model_dir(name), Goldens(name), layouts); });
}

// model.expert_sum: the groups' sums are rounded once more, which must not show. Both sums, as the table has them.
TEST_CASE_TEMPLATE(
    "sums by groups: the errors are at most 5 % more than those of sums by picks, no greedy token is lost", On, OnCpu) {
  const std::filesystem::path variants = std::string(MOEMILL_TEST_DATA) + "/variants";
  for (const std::string name : {"deepseek_v3", "deepseek_v3_fp8", "v2_kept_grouped", "glm4_kept"}) {
    CAPTURE(name);
    const bool is_variant = std::filesystem::exists(variants / name);
    const std::string dir = is_variant ? (variants / name).string() : model_dir(name);
    const Goldens goldens = is_variant ? Goldens(variants / name / "golden.h5") : Goldens(name);
    CHECK(model::read_config(dir).expert_sum == ExpertSum::Groups);
    // Nodes of one rank, and of three and one.
    const std::vector<Layout> nodes{{.ranks = 3, .chunk = 70, .ranks_per_node = 1},
                                    {.ranks = 4, .micro_batches = 2, .chunk = 20, .ranks_per_node = 3}};
    const auto groups = compare<On>(dir, goldens, nodes, ExpertSum::Groups);
    const auto picks = compare<On>(dir, goldens, nodes, ExpertSum::Picks);
    MESSAGE("\n", groups.row(name + " by groups"), "\n", picks.row(name + " by picks"));
    CHECK(median(groups.clear_ratios) <= 1.05 * median(picks.clear_ratios));
    CHECK(groups.greedy >= picks.greedy);
  }
}

TEST_CASE_TEMPLATE("variants of the families: logits within transformers' bf16 error and its greedy tokens", On,
                   OnCpu) {
  const std::filesystem::path folder = std::string(MOEMILL_TEST_DATA) + "/variants";
  const auto names = models_in(folder);
  REQUIRE(names.size() >= 8);
  tabulate(names, [&](const std::string& name) {
    return compare<On>(folder / name, Goldens(folder / name / "golden.h5"),
                       {{.ranks = 3, .isa = cpu::Isa::Plain, .chunk = 20}});
  });
}

// A folder of models made by tests/data/layers/make_variants.py, of which only a few are kept in tests/data.
TEST_CASE_TEMPLATE("models of the folder that MOEMILL_GOLDENS names", On, OnCpu) {
  const char* parent = std::getenv("MOEMILL_GOLDENS");
  if (parent == nullptr) return;
  const std::filesystem::path folder = parent;
  tabulate(models_in(folder), [&](const std::string& name) {
    return compare<On>(folder / name, Goldens(folder / name / "golden.h5"), {{.ranks = 2, .chunk = 20}});
  });
}
