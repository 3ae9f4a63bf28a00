// Time of a row, for tuning: test_sample -ns -tc="time of a row" (skipped otherwise).
#include <doctest/doctest.h>

#include <ctime>
#include <string>

#include "kernels/cpu/stream.hpp"
#include "sample/cpu/sampler.hpp"
#include "sample/reference.hpp"

using namespace moemill;
using namespace moemill::sample;
using namespace moemill::sample::test;

namespace {

double thread_seconds() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

}  // namespace

TEST_CASE("time of a row" * doctest::skip()) {
  cpu::Stream stream;
  struct Named {
    std::string name;
    SamplingParams params;
  };
  std::vector<Named> kinds = {{"greedy", {}},     {"temperature", {}}, {"top_p 0.9", {}},        {"top_k 50", {}},
                              {"min_p 0.05", {}}, {"penalty", {}},     {"top_p, logprobs 5", {}}};
  kinds[0].params.temperature = 0;
  kinds[2].params.top_p = 0.9f;
  kinds[3].params.top_k = 50;
  kinds[4].params.min_p = 0.05f;
  kinds[5].params.repetition_penalty = 1.1f;
  kinds[6].params.top_p = 0.9f, kinds[6].params.logprobs = 5;
  for (std::size_t vocabulary : {std::size_t{32000}, std::size_t{151936}}) {
    for (float spread : {0.5f, 3.0f, 8.0f}) {  // nearly flat, as of random weights, and up to a trained model's
      const std::size_t rows = 64;
      std::vector<float> logits = random_logits(3, rows * vocabulary, spread);
      const Rows<const float> view(logits.data(), rows, vocabulary);
      cpu::Sampler sampler(stream, static_cast<std::uint32_t>(vocabulary));
      for (const Named& kind : kinds) {
        std::vector<SampleRequest> requests(rows);
        std::vector<SampleResult> results(rows);
        std::vector<TokenLogprob> top(rows * 5);
        for (std::size_t r = 0; r < rows; ++r) {
          requests[r] = {static_cast<std::uint32_t>(r), &kind.params, {}, {}, {}, r, {}};
          if (kind.params.logprobs) requests[r].top = std::span(top).subspan(r * 5, 5);
        }
        sampler.sample(view, 0, requests, results);
        double start = thread_seconds();
        for (int i = 0; i < 5; ++i) sampler.sample(view, 0, requests, results);
        MESSAGE(cpu::name(cpu::best_isa()) << " vocabulary " << vocabulary << " spread " << spread << " " << kind.name
                                           << ": " << (thread_seconds() - start) / (5.0 * rows) * 1e6 << " us a row");
      }
    }
  }
}
