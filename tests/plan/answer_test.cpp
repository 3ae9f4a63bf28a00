// Questions about a piece of work: the best plan keeps the limits, and the answer says what it is made of.
#include "plan/answer/answer.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <initializer_list>

#include "base/error.hpp"
#include "base/readable.hpp"
#include "plan/answer/bound.hpp"
#include "plan/answer/costs.hpp"
#include "support.hpp"

using namespace moemill;
using namespace moemill::test;
using namespace moemill::estimate;

namespace {

Question question(std::vector<std::string> hardware, std::vector<std::uint32_t> gpus = {}) {
  Question q;
  q.model = "deepseek-v3", q.hardware = std::move(hardware), q.gpus = std::move(gpus);
  q.work = {10e6, equal_lengths(1500), equal_lengths(600), 0};
  return q;
}

double working_hours(const Plan& plan) { return plan.hours - plan.tail_hours - plan.load_hours; }

Plan best_of(const Question& q, Catalog& catalog) {
  Search search = search_plans(q, catalog);
  REQUIRE(!search.plans.empty());
  return search.plans.front();
}

}  // namespace

TEST_CASE("answer: the best plan of a machine, and its parts") {
  Catalog catalog(configs);
  const Question q = question({"H100"}, {144});
  const Plan plan = best_of(q, catalog);
  CHECK(plan.gpus == 144);
  CHECK(plan.hours == doctest::Approx(8.4).epsilon(0.01));
  CHECK(plan.cost() == doctest::Approx(plan.hours * 144 * 2));
  CHECK(plan.decode.rate.sequences <= plan.decode.rate.room);
  // Both phases, what is idle and loading are the whole.
  const HoursOf hours = hours_of(plan, q.work);
  CHECK(hours.prefill() + hours.decode + hours.tail + hours.roles + hours.load == doctest::Approx(plan.gpu_hours()));
  CHECK(hours.cached == 0);
  CHECK(hours.roles == doctest::Approx(0));
  CHECK(hours.load > 0);
  // Half of the work costs half, up to the tail.
  Question half = q;
  half.work.prompts /= 2;
  const Plan half_plan = best_of(half, catalog);
  CHECK(working_hours(half_plan) == doctest::Approx(working_hours(plan) / 2).epsilon(1e-3));
  // Tokens that a cache holds are not computed.
  Question cached = q;
  cached.work.cached_fraction = 0.5;
  const HoursOf fewer = hours_of(best_of(cached, catalog), cached.work);
  CHECK(fewer.prefill() < 0.7 * hours.prefill());
  CHECK(fewer.cached > 0);  // but they are seen
}

TEST_CASE("answer: work of one prompt takes as long as its sequence, and its step holds no other rows") {
  Catalog catalog(configs);
  Question q = question({"H100"}, {16});
  q.work.prompts = 1;
  const Plan plan = best_of(q, catalog);
  CHECK(plan.prefill.rows_per_gpu == 1500);
  CHECK(plan.decode.rows_per_gpu == 1);
  const double steps = 600 * plan.decode.rate.time.seconds(), prompt = plan.prefill.rate.time.seconds();
  CHECK((plan.hours - plan.load_hours) * 3600 == doctest::Approx(prompt + steps));
  CHECK(plan.user_tokens_per_second == doctest::Approx(600 / (prompt + steps)));
}

TEST_CASE("answer: sequences that all begin together end together, and have no tail but their longest") {
  Catalog catalog(configs);
  Question q = question({"H100"}, {32});
  q.sequences_per_gpu = 32;
  q.work.prompts = 32 * 32;
  const auto seconds = [&](const Plan& plan) {
    CHECK(!plan.is_split);
    return 32 * 1500 / plan.prefill.rate.tokens_per_second + 600 * plan.decode.rate.time.seconds();
  };
  const Plan once = best_of(q, catalog);
  CHECK(once.tail_hours == doctest::Approx(0));
  CHECK((once.hours - once.load_hours) * 3600 == doctest::Approx(seconds(once)));
  q.work.prompts *= 100;  // sequences end at different times by and by, half of them before the last ones begin
  const Plan often = best_of(q, catalog);
  CHECK(often.tail_hours * 3600 == doctest::Approx(300 * often.decode.rate.time.seconds()).epsilon(0.02));
}

TEST_CASE("answer: a number of GPUs that is given twice is planned once") {
  Catalog catalog(configs);
  Question q = question({"H100"}, {32, 64, 32});
  q.nodes = {4};
  CHECK(search_plans(q, catalog).plans.size() == 2);
}

TEST_CASE("answer: a layout without room for the longest sequence is no answer") {
  Catalog catalog(configs);
  Hardware small = catalog.hardware("H100");
  Question q = question({"H100"}, {16});
  q.work.output = {600, 600, 160'000, Lengths::Kind::Measured, 0};
  CHECK(search_plans(q, catalog).plans.size() == 1);
  small.name = "small", small.memory_bytes = 70e9;
  catalog.add(small);
  q.hardware = {"small"};
  CHECK(search_plans(q, catalog).plans.empty());
  q.work.output = equal_lengths(600);
  CHECK(search_plans(q, catalog).plans.size() == 1);
}

TEST_CASE("answer: limits are kept, and cost") {
  Catalog catalog(configs);
  Question q = question({"H100"});
  double before = best_of(q, catalog).cost();
  for (double speed : {15.0, 20.0, 40.0}) {
    q.limits.tokens_per_second_per_user = speed;
    const Plan plan = best_of(q, catalog);
    CHECK(plan.user_tokens_per_second >= speed);
    CHECK(plan.cost() >= before);
    before = plan.cost();
  }
  q.limits = {{}, 3.0, {}};
  CHECK(best_of(q, catalog).hours <= 3);
  q.limits = {{}, {}, 10.0};
  const Search none = search_plans(q, catalog);
  CHECK(none.plans.empty());
  CHECK(!none.beyond.empty());
  CHECK(none.left_out.at("beyond the limits asked for").size() > 0);
  const Search small = search_plans(question({"H100"}, {8}), catalog);
  CHECK(small.plans.empty());
  CHECK(small.beyond.empty());
  CHECK(small.left_out.contains("the weights alone do not fit"));
  Question fp4 = question({"H100", "GB200"});
  fp4.precision = Precision{Format::Fp4, Format::Fp8, CacheFormat::Fp8};
  CHECK(best_of(fp4, catalog).hardware->name == "GB200");
  CHECK(search_plans(fp4, catalog).left_out.contains("H100-SXM does not compute in fp4, but in bf16, fp8"));
}

TEST_CASE("answer: a GPU alone exchanges nothing") {
  Catalog catalog(configs);
  Question q = question({"B200"}, {1});
  q.model = "gpt-oss-20b";
  const Plan plan = best_of(q, catalog);
  for (const PhasePlan* phase : {&plan.prefill, &plan.decode})
    CHECK(phase->rate.time[Term::Dispatch] + phase->rate.time[Term::Combine] == 0);
}

TEST_CASE("answer: more memory, faster links and more bandwidth are never dearer") {
  const auto cost = [](auto change) {
    Catalog catalog(configs);
    Hardware machine = catalog.hardware("H100");
    machine.name = "better";
    change(machine);
    catalog.add(machine);
    return best_of(question({"better"}, {32, 64}), catalog).cost();
  };
  const double base = cost([](Hardware&) {}) * (1 + 1e-9);
  CHECK(cost([](Hardware& h) { h.memory_bytes *= 1.3; }) <= base);
  CHECK(cost([](Hardware& h) { h.memory_bytes_per_second *= 1.3; }) <= base);
  CHECK(cost([](Hardware& h) { h.scale_up_bytes_per_second *= 1.3; }) <= base);
  CHECK(cost([](Hardware& h) { *h.network_bytes_per_second *= 1.3; }) <= base);
  CHECK(cost([](Hardware& h) { h.scale_up_gpus = 64; }) <= base);
}

TEST_CASE("answer: the first line, the band and what is not checked") {
  Catalog catalog(configs);
  const std::string file = configs + "/published.yaml";
  const auto checked = check(read_points(read_text_file(file), file, catalog), catalog);
  const Question q = question({"H100"}, {144});
  const Search search = search_plans(q, catalog);
  const Band band = band_of(search.plans.front(), checked);
  CHECK(band.unchecked.empty());
  CHECK(band.low <= 1);
  CHECK(band.high >= 1);
  const std::string text = answer_text({q, search, checked});
  CHECK(text.starts_with("10,000,000 prompts (1,500 + 600 tokens): 8.4 h on 144 H100-SXM (18 nodes), 2,"));
  CHECK(says(text.substr(0, text.find('\n')), {" USD (", " to ", ") at 2.00 USD/GPU-hour (2025-05-05)"}));
  CHECK(
      says(text, {"published kernels", "prefill: ", "decode: ", "GPU-hours", "kWh", "per million tokens", "left out"}));
  // The network is what 144 H100 wait for most; no figure gains more than its own 20 %.
  const auto gains = sensitivities(search.plans.front(), q.work);
  CHECK(gains.front().second > 0.02);
  for (std::size_t i = 0; i < gains.size(); ++i) {
    CHECK(gains[i].second >= 0);
    CHECK(gains[i].second < 1 - 1 / 1.2);
    CHECK((i == 0 || gains[i].second <= gains[i - 1].second));
  }
  CHECK(says(text, {"bound: ", "memory rate", "network", "kernel starts"}));
  const Question other = question({"MI300X"}, {8});
  const Search unchecked = search_plans(other, catalog);
  CHECK(!band_of(unchecked.plans.front(), checked).unchecked.empty());
  CHECK(says(answer_text({other, unchecked, checked}), {"unchecked: too few published points of CDNA"}));
  Question priced = question({"H20"}, {32});
  CHECK(says(answer_text({priced, search_plans(priced, catalog), checked}), {"no price is known"}));
  priced.hour_price = 1.5;
  CHECK(says(answer_text({priced, search_plans(priced, catalog), checked}), {"at 1.50 USD/GPU-hour (as asked)"}));
}

TEST_CASE("answer: groups for prompts and for answers may differ in size") {
  Catalog catalog(configs);
  Question q = question({"H100"}, {176});
  q.limits.tokens_per_second_per_user = 25;
  q.group = 144;
  const Plan plan = best_of(q, catalog);
  CHECK(plan.is_split);
  CHECK(plan.decode.layout.gpus == 144);
  CHECK(plan.prefill.layout.gpus < 144);
  CHECK(plan.prefill.gpus() + plan.decode.gpus() <= 176);
  const HoursOf hours = hours_of(plan, q.work);
  CHECK(hours.roles > 0);
  CHECK(hours.prefill() + hours.decode + hours.tail + hours.roles + hours.load == doctest::Approx(plan.gpu_hours()));
  // With any group the plan is at least as cheap.
  q.group.reset();
  CHECK(best_of(q, catalog).cost() <= plan.cost());
}

TEST_CASE("answer: every GPU-hour has its formula, and figures can be changed one by one") {
  const auto cost = [](std::vector<FigureChange> changes) {
    Catalog catalog(configs, std::move(changes));
    return best_of(question({"H100"}, {144}), catalog).cost();
  };
  const double base = cost({});
  CHECK(cost({read_change("price.per_hour=+20%")}) == doctest::Approx(1.2 * base));
  CHECK(cost({read_change("network.gbytes_per_second=100")}) < base);
  CHECK(cost({read_change("efficiency.memory=-20%")}) > base);
  CHECK(cost({read_change("efficiency.memory=0.8")}) == base);
  for (const char* wrong : {"memory", "memory.gbytes=", "memory.gbytes=many", "memory.gbytes=-100%", "memory=80"})
    CHECK_THROWS_AS(read_change(wrong), UserError);
  CHECK(
      says(fault_of_call([] { read_change("efficiency.memori=1"); }), {"efficiency.memori", "did you mean", "memory"}));
  Catalog catalog(configs, {read_change("peak_tflops.fp4=1")});
  catalog.hardware("H100");
  CHECK_THROWS_WITH_AS(catalog.check_changes(), doctest::Contains("peak_tflops.fp4"), UserError);
  const Question q = question({"H100"}, {144});
  const Search search = search_plans(q, catalog);
  const std::string text = answer_text({q, search, {}, Listing::Best, Detail::Explained});
  CHECK(says(text, {"how a step of prefill", "how a step of decode", "B/s = ", "FLOP/s = ", "the longer * imbalance",
                    "2 (max(s + a0, d) + m + max(a1, c))", "hidden beside others"}));
}

TEST_CASE("answer: a mean alone is a log-normal distribution") {
  const Lengths lengths = log_normal_lengths(600, 0.7, 10e6, 1e9);
  CHECK(lengths.mean == 600);
  CHECK(lengths.of_token == doctest::Approx(600 * std::exp(0.49)));
  // 1 of 10 million lies 5.2 standard deviations above the median.
  CHECK(lengths.longest == doctest::Approx(600 * std::exp(5.1993 * 0.7 - 0.245)).epsilon(0.001));
  CHECK(log_normal_lengths(600, 0.7, 10e6, 2000).longest == 2000);
  CHECK(log_normal_lengths(600, 0, 10e6, 1e9).longest == 600);
  CHECK(says(lengths_text(lengths), {"600 tokens on average", "log-normal", "0.7 (assumed)", "at most 17,8"}));
  CHECK(lengths_text(equal_lengths(600)) == "600 tokens each");
}

TEST_CASE("answer: a figure is changed once") {
  CHECK(says(fault_of_call([] {
               read_changes({"memory.gbytes=90", "price.per_hour=3", "memory.gbytes=+5%"});
             }),
             {"--change memory.gbytes=+5%", "memory.gbytes is changed twice"}));
}

TEST_CASE("answer: lengths of a file") {
  const Lengths lengths = read_lengths("# answers\n100\n300 3\n\n1000, 0\n", "l.txt");
  CHECK(lengths.mean == doctest::Approx(250));
  CHECK(lengths.of_token == doctest::Approx(280000.0 / 1000));
  CHECK(lengths.longest == 300);
  for (const char* wrong : {"", "# nothing\n", "5 0\n", "0\n"})
    CHECK_THROWS_WITH_AS(read_lengths(wrong, "l.txt"), doctest::Contains("no lengths above 0"), UserError);
  for (const char* wrong : {"1\n-2\n", "1\nmany\n", "1\n2 3 4\n", "1\nnan\n"})
    CHECK_THROWS_WITH_AS(read_lengths(wrong, "l.txt"), doctest::Contains("l.txt:2"), UserError);
  // Uneven lengths of the same mean cost more: contexts and the tail are longer.
  Catalog catalog(configs);
  Question q = question({"H100"}, {144});
  const Plan even = best_of(q, catalog);
  q.work.output = read_lengths("200 9\n4200 1\n", "l.txt");
  const Plan uneven = best_of(q, catalog);
  CHECK(q.work.output.mean == doctest::Approx(600));
  CHECK(uneven.cost() > even.cost());
  CHECK(uneven.tail_hours > even.tail_hours);
}
