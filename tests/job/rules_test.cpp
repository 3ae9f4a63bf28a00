// The parts of the mill that need no model: domains, failing together, stopping, preparing prompts, cost and load.
#include <doctest/doctest.h>
#include <unistd.h>

#include <cmath>
#include <csignal>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/clock.hpp"
#include "base/error.hpp"
#include "base/text/format.hpp"
#include "generate/engine.hpp"
#include "generate/prepare.hpp"
#include "mill/stop.hpp"
#include "mill/summary.hpp"
#include "mill/totals.hpp"
#include "plan/ranks.hpp"
#include "system/comm/agree.hpp"
#include "system/machine/memory.hpp"

using namespace moemill;
using namespace moemill::mill;

namespace {

text::Tokenizer tiny_tokenizer() {
  return text::Tokenizer::load(std::string(MOEMILL_TEST_DATA) + "/models/deepseek_v3");
}

dataset::Prompt token_prompt(std::size_t length, std::uint32_t max_tokens) {
  dataset::Prompt prompt;
  for (std::size_t i = 0; i < length; ++i) prompt.token_ids.push_back(static_cast<TokenId>(10 + i));
  prompt.sampling.max_tokens = max_tokens;
  return prompt;
}

PrepareRules rules(TooLong policy) { return {policy, 32, 100}; }

}  // namespace

TEST_CASE("expert domains: world, node, or a number that divides") {
  CHECK(domain_of("world", 5, 6, 2) == 0);
  CHECK(domain_of("node", 5, 6, 2) == 2);
  CHECK(domain_of("3", 2, 6, 0) == 0);
  CHECK(domain_of("3", 3, 6, 0) == 1);
  CHECK_THROWS_AS(domain_of("4", 0, 6, 0), UserError);
  CHECK_THROWS_AS(domain_of("12", 0, 6, 0), UserError);
}

TEST_CASE("ranks arrange themselves: domains and nodes") {
  run_loopback(6, [](Comm world) {
    ParallelSettings settings;
    settings.ranks_per_node = 2;
    Ranks ranks = arrange_ranks(world, settings);
    CHECK(ranks.nodes == 3);
    CHECK(ranks.domain.size() == 6);
    CHECK(ranks.node_of_domain_rank == std::vector<int>{0, 0, 1, 1, 2, 2});
    settings.expert_domain = "node";
    ranks = arrange_ranks(world, settings);
    CHECK(ranks.domain.size() == 2);
    CHECK(ranks.domain.rank() == world.rank() % 2);
    settings.expert_domain = "3";
    ranks = arrange_ranks(world, settings);
    CHECK(ranks.domain.size() == 3);
    settings.expert_domain = "4";
    CHECK_THROWS_AS(arrange_ranks(world, settings), AgreedFailure);
  });
}

TEST_CASE("one rank's fault becomes everybody's, with one message and one code") {
  run_loopback(4, [](Comm world) {
    together(world, [] {});
    std::string text;
    ExitCode code = ExitCode::Done;
    try {
      together(world, [&] {
        if (world.rank() == 3) user_error("file x is broken");
        if (world.rank() == 2) system_error("disk full");
      });
    } catch (const AgreedFailure& e) {
      text = e.what(), code = e.code();
    }
    CHECK(text.starts_with("rank 2 on "));
    CHECK(text.ends_with(": disk full"));
    CHECK(code == ExitCode::Internal);
    CHECK_THROWS_WITH_AS(rank_zero(world, [] { user_error("no model"); }), "no model", AgreedFailure);
  });
}

TEST_CASE("stopping: a signal, the clock and a file") {
  StopSignals signals;
  RuntimeSettings runtime;
  StopWish calm(signals, runtime, now_seconds());
  CHECK(!calm.ask());
  kill(getpid(), SIGUSR1);
  for (int tries = 0; tries < 60000 && !calm.ask(); ++tries) usleep(1000);
  CHECK(calm.ask() == "SIGUSR1");
  CHECK(calm.ask() == "SIGUSR1");  // it stays

  runtime.max_wall_time_seconds = 100;
  runtime.drain_margin_seconds = 60;
  StopWish early(signals, runtime, now_seconds() - 20);
  CHECK(!early.ask());
  StopWish late(signals, runtime, now_seconds() - 41);
  CHECK(late.ask() == "the time limit");

  runtime.max_wall_time_seconds.reset();
  StopFile any_file("run", std::string(MOEMILL_TEST_DATA) + "/models/deepseek_v3/config.json");
  StopWish file(signals, runtime, now_seconds());
  CHECK(!file.ask());
  file.look_for(any_file);
  CHECK(file.ask()->find("stop file") != std::string::npos);
}

TEST_CASE("a stop while weights are read ends the loading on all ranks, as a stop") {
  run_loopback(2, [](Comm world) {
    RunConfig config;
    config.model.path = std::string(MOEMILL_TEST_DATA) + "/models/deepseek_v3";
    const ModelFolder model = open_model(config.model);
    const Ranks ranks = arrange_ranks(world, config.parallel);
    int pieces = 0;
    auto stop_at_ten = [&] {
      if (world.rank() == 1 && ++pieces == 10) throw StopRequested("SIGTERM");
    };
    ExitCode code = ExitCode::Done;
    std::string text;
    try {
      Engine(config, model, ranks, {}, stop_at_ten);
    } catch (const AgreedFailure& e) {
      code = e.code(), text = e.what();
    }
    CHECK(code == ExitCode::Stopped);
    CHECK(text.starts_with("rank 1 on "));
    CHECK(text.ends_with(": SIGTERM"));
    if (world.rank() == 1) CHECK(pieces == 10);
  });
}

TEST_CASE("a Slurm job shorter than the margin still gets on") {
  StopSignals signals;
  RuntimeSettings runtime;
  runtime.drain_margin_seconds = 60;
  setenv("SLURM_JOB_END_TIME", std::to_string(std::time(nullptr) + 40).c_str(), 1);
  StopWish wish(signals, runtime, now_seconds());
  CHECK(!wish.ask());
  // A job cannot begin behind its end: the time is of another job, or what a script made of no answer.
  setenv("SLURM_JOB_END_TIME", std::to_string(std::time(nullptr) - 1).c_str(), 1);
  StopWish over(signals, runtime, now_seconds());
  CHECK(!over.ask());
  unsetenv("SLURM_JOB_END_TIME");
}

TEST_CASE("of two time limits the earlier one counts") {
  StopSignals signals;
  RuntimeSettings runtime;
  runtime.drain_margin_seconds = 0;
  auto asked = [&](double own_limit, int slurm_seconds) {
    runtime.max_wall_time_seconds = own_limit;
    setenv("SLURM_JOB_END_TIME", std::to_string(std::time(nullptr) + slurm_seconds).c_str(), 1);
    StopWish wish(signals, runtime, now_seconds() - 10);
    unsetenv("SLURM_JOB_END_TIME");
    for (int tries = 0; slurm_seconds < 10 && tries < 60000 && !wish.ask(); ++tries) usleep(1000);
    return wish.ask().value_or("no reason");
  };
  CHECK(asked(1000, 1000) == "no reason");
  CHECK(asked(5, 1000) == "the time limit");
  CHECK(asked(1000, 2) == "the time limit");
}

TEST_CASE("expert load of several attempts weighs their tokens") {
  ExpertLoad load;
  load += {3, 0};
  CHECK(load.max_over_mean == 1);
  load += {2, 100};
  CHECK(load.max_over_mean == doctest::Approx(2));
  load += {4, 300};
  CHECK(load.max_over_mean == doctest::Approx(3.5));
}

TEST_CASE("too long prompts by each policy") {
  auto tokenizer = tiny_tokenizer();
  SUBCASE("what fits is left alone, up to the last token") {
    for (TooLong policy : {TooLong::FailRow, TooLong::TruncateLeft, TooLong::TruncateRight, TooLong::ReduceMaxTokens}) {
      auto p = prepare(token_prompt(20, 12), &tokenizer, rules(policy));
      CHECK(!p.fault);
      CHECK(p.tokens.size() == 20);
      CHECK(p.sampling.max_tokens == 12);
    }
  }
  SUBCASE("fail_row") {
    auto p = prepare(token_prompt(21, 12), &tokenizer, rules(TooLong::FailRow));
    REQUIRE(p.fault);
    CHECK(p.fault->code == dataset::ErrorCode::TooLong);
    CHECK(p.full_length == 21);
  }
  SUBCASE("truncate") {
    auto left = prepare(token_prompt(40, 12), &tokenizer, rules(TooLong::TruncateLeft));
    CHECK(left.tokens.size() == 20);
    CHECK(left.tokens.back() == 49);
    auto right = prepare(token_prompt(40, 12), &tokenizer, rules(TooLong::TruncateRight));
    CHECK(right.tokens.size() == 20);
    CHECK(right.tokens.front() == 10);
    CHECK(prepare(token_prompt(4, 32), &tokenizer, rules(TooLong::TruncateLeft)).fault);
  }
  SUBCASE("reduce_max_tokens") {
    auto p = prepare(token_prompt(30, 12), &tokenizer, rules(TooLong::ReduceMaxTokens));
    CHECK(!p.fault);
    CHECK(p.sampling.max_tokens == 2);
    CHECK(prepare(token_prompt(32, 12), &tokenizer, rules(TooLong::ReduceMaxTokens)).fault);
  }
}

TEST_CASE("bad prompts come out as faults") {
  auto tokenizer = tiny_tokenizer();
  auto code = [&](dataset::Prompt prompt) { return prepare(prompt, &tokenizer, rules(TooLong::FailRow)).fault->code; };
  dataset::Prompt prompt = token_prompt(3, 1);
  prompt.token_ids[1] = 100;  // the first id that is none
  CHECK(code(prompt) == dataset::ErrorCode::BadToken);
  prompt.token_ids[1] = -1;
  CHECK(code(prompt) == dataset::ErrorCode::BadToken);
  prompt.token_ids.clear();
  prompt.add_special_tokens = false;
  CHECK(code(prompt) == dataset::ErrorCode::Empty);
  prompt.text = "\xff\xfe";
  CHECK(code(prompt) == dataset::ErrorCode::BadUtf8);
}

TEST_CASE("seconds of rows: shares to a bucket's width, the longest exactly, and the sum of attempts") {
  RowSeconds none;
  CHECK(none.summary()["p50"].is_null());
  RowSeconds rows;
  for (int i = 1; i <= 1000; ++i) rows.add(0.01 * i);
  CHECK(rows.rows() == 1000);
  for (auto [share, seconds] : {std::pair(0.5, 5.0), {0.9, 9.0}, {0.99, 9.9}})
    CHECK((rows.quantile(share) >= seconds - 1e-9 && rows.quantile(share) <= 1.1 * seconds));
  CHECK(rows.longest() == 10);
  CHECK(rows.quantile(1) == 10);
  RowSeconds again = RowSeconds::from(nlohmann::json::parse(rows.whole().dump()));
  CHECK(again.whole() == rows.whole());
  again += rows;
  CHECK(again.rows() == 2000);
  CHECK(again.quantile(0.9) == rows.quantile(0.9));
  for (double odd : {0.0, -1.0, 1e-9, 1e12}) rows.add(odd);
  CHECK(rows.rows() == 1004);
  for (const char* odd : {"{}", "[]", R"({"counts": [[1, 2, 3], [0, 1], [-1, 1], ["a", 1], [1, -1], [1e300, 1]]})"})
    CHECK(RowSeconds::from(nlohmann::json::parse(odd)).rows() <= 1);
}

TEST_CASE("cost follows units, hours and tokens") {
  Summary s;
  s.ranks = 8, s.nodes = 2, s.wall_seconds = 1800;
  s.held.add(1800, 8, 2, {24, 32, 24});
  s.totals.prompt_tokens = 1'500'000, s.totals.generated_tokens = 500'000;
  CostSettings settings;
  const auto json = nlohmann::json::parse(to_json(s, settings));
  CHECK(json["cost"]["total"].is_null());
  CHECK(json["core_hours_allocated"] == doctest::Approx(16));
  CHECK(json["core_hours_used"] == doctest::Approx(12));
  CHECK(ledger_line(s, settings).find("16 core-hours, 12 of them used") != std::string::npos);
  settings.hour_price = 3;
  for (auto [unit, units] : {std::pair("auto", 32), {"gpu", 8}, {"rank", 8}, {"node", 2}, {"core", 32}, {"job", 1}}) {
    settings.unit = unit;
    Cost cost = cost_of(s, settings);
    CHECK(cost.unit_hours == doctest::Approx(0.5 * units));
    CHECK(cost.total == doctest::Approx(1.5 * units));
    CHECK(cost.per_million_tokens == doctest::Approx(0.75 * units));
    CHECK(cost.per_million_output_tokens == doctest::Approx(3 * units));
  }
  s.held.add(3600, 2, 1, {2, 2, 2});  // a smaller attempt
  settings.unit = "core";
  CHECK(cost_of(s, settings).unit_hours == doctest::Approx(18));
}

TEST_CASE("expert load: busiest over mean, mean over layers") {
  const std::vector<std::uint64_t> counts = {4, 0, 0, 0, 1, 1, 1, 1};
  CHECK(max_over_mean(counts, 4) == doctest::Approx(2.5));
  CHECK(max_over_mean({}, 4) == 1);
}

TEST_CASE("totals: counts add up over ranks, seconds are their mean") {
  run_loopback(3, [](Comm world) {
    Totals mine;
    mine.generated_tokens = 10;
    mine.decode_seconds = 1 + world.rank();
    Totals all = sum_over_ranks(world, mine);
    CHECK(all.generated_tokens == 30);
    CHECK(all.decode_seconds == doctest::Approx(2));
    std::vector<std::uint64_t> counts = {1, static_cast<std::uint64_t>(world.rank())};
    CHECK(sum_counts(world, counts) == std::vector<std::uint64_t>{3, 3});
  });
}

TEST_CASE("numbers for people") {
  CHECK(thousands(7) == "7");
  CHECK(thousands(1234567) == "1,234,567");
  CHECK(clock_text(4.26) == "4.3s");
  CHECK(clock_text(245) == "4m05s");
  CHECK(clock_text(11220) == "3h07m");
}
