#include "config/config.hpp"

#include <doctest/doctest.h>

#include "base/error.hpp"
#include "base/readable.hpp"
#include "base/text/path_text.hpp"
#include "config/config_names.hpp"

using namespace moemill;
using namespace moemill::mill;

namespace {

RunConfig parse(std::string_view yaml, const std::vector<std::string>& sets = {}) {
  std::vector<Override> overrides;
  for (const auto& s : sets) overrides.push_back(parse_override(s));
  return parse_config(yaml, "run.yaml", overrides);
}

// The message of the UserError that parsing throws.
std::string fault(std::string_view yaml, const std::vector<std::string>& sets = {}) {
  try {
    parse(yaml, sets);
  } catch (const UserError& e) {
    return e.what();
  }
  return "no error";
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("an empty file gives the contract's defaults") {
  RunConfig c = parse("");
  CHECK(c.sampling.max_tokens == 256);
  CHECK(c.sampling.temperature == 1.0f);
  CHECK(c.output.gzip_level == 4);
  CHECK(c.output.dir == "runs/prompts");
  CHECK(parse("input: {path: /data/my.questions.h5}").output.dir == "runs/my.questions");
  CHECK(parse("input: {path: a.h5}\noutput: {dir: b}").output.dir == "b");
  CHECK(!c.input.add_special_tokens);
  CHECK(!c.model.max_model_len);
  CHECK(!c.sampling.logprobs);
  CHECK(!c.output.carry_columns);
  CHECK(c.errors.max_failed_fraction == 0.05);
  CHECK(c.parallel.max_num_seqs == 256);
  CHECK(c.parallel.node_memory == "auto");
  CHECK(c.runtime.drain_margin_seconds == 60);
}

TEST_CASE("every key of the contract is read, and --set goes over it") {
  const char* yaml = R"(
schema_version: 1
model:   {path: DIR, load_format: dummy, dtype: bfloat16, max_model_len: 4096}
input:   {path: prompts.h5, group: /a/b, limit: 12, add_special_tokens: false}
sampling: {n: 2, temperature: 0.7, top_p: 0.9, top_k: 40, min_p: 0.05, repetition_penalty: 1.1,
           presence_penalty: 0.5, frequency_penalty: -0.5, max_tokens: 64, min_tokens: 3,
           stop: ["\n\n", "Q:"], stop_token_ids: [7, 8], ignore_eos: true, seed: 18446744073709551615, logprobs: 5,
           prompt_logprobs: true, repetition_detection: {max_pattern_size: 8, min_count: 4}}
errors:  {too_long: truncate_left, max_failed_fraction: 0.5}
output:  {dir: out, shard_prompts: 10, journal_flush_seconds: 0.5, compression: none,
          store: [token_ids, logprobs], carry_columns: [a, b], merge: false}
parallel: {expert_domain: 4, ranks_per_node: 2, node_memory: required, redundant_experts: 3,
           rebalance: {policy: measured, interval_steps: 7}, micro_batches: 2,
           roles: {prefill_ranks: 0}, max_num_seqs: 8, max_num_batched_tokens: 99,
           kv_cache_tokens: 5000, threads_per_rank: 2}
runtime: {backend: cpu, max_wall_time: "1-02:00:00", drain_margin: 30s, stop_file: halt,
          progress_interval: 1.5, log_level: debug}
cost:    {hour_price: 2.5, unit: node, currency: EUR, calibration: here.json}
)";
  RunConfig c = parse(yaml);
  CHECK(c.model.load_format == "dummy");
  CHECK(c.model.max_model_len == 4096);
  CHECK(c.input.group == "/a/b");
  CHECK(c.input.limit == 12);
  CHECK(c.input.add_special_tokens == false);
  CHECK(c.sampling.seed == 18446744073709551615u);
  CHECK(c.sampling.frequency_penalty == -0.5f);
  CHECK(c.sampling.stop == std::vector<std::string>{"\n\n", "Q:"});
  CHECK(c.sampling.stop_token_ids == std::vector<std::int32_t>{7, 8});
  CHECK(c.sampling.logprobs == 5);
  CHECK(c.sampling.repetition_detection.min_count == 4);
  CHECK(c.errors.too_long == TooLong::TruncateLeft);
  CHECK(c.output.shard_prompts == 10);
  CHECK(!c.output.gzip_level);
  CHECK(!c.output.store_text);
  CHECK(c.output.store_token_ids);
  CHECK(c.output.carry_columns == std::vector<std::string>{"a", "b"});
  CHECK(c.parallel.expert_domain == "4");
  CHECK(c.parallel.node_memory == "required");
  CHECK(c.parallel.micro_batches == 2);
  CHECK(c.parallel.kv_cache_tokens == 5000);
  CHECK(c.runtime.max_wall_time_seconds == 26 * 3600.0);
  CHECK(c.runtime.drain_margin_seconds == 30);
  CHECK(c.runtime.progress_interval_seconds == 1.5);
  CHECK(c.cost.hour_price == 2.5);
  CHECK(c.cost.calibration == "here.json");

  RunConfig d =
      parse(yaml, {"sampling.stop=[a, b, c]", "input.limit=null", "sampling.temperature=0", "cost.calibration=null"});
  CHECK(!d.cost.calibration);
  CHECK(d.sampling.stop.size() == 3);
  CHECK(!d.input.limit);
  CHECK(d.sampling.temperature == 0);
  CHECK(d.sampling.top_k == 40);

  SUBCASE("the resolved config reads back to the same values") {
    CHECK(to_yaml(parse(to_yaml(c))) == to_yaml(c));
    CHECK(to_yaml(RunConfig()).find("limit: null") != std::string::npos);
    RunConfig back = parse(to_yaml(c));
    CHECK(back.sampling.stop == c.sampling.stop);
    CHECK(back.sampling.seed == c.sampling.seed);
    CHECK(differing_keys(c, back).empty());
  }
}

TEST_CASE("awkward strings survive writing and reading") {
  RunConfig c;
  c.model.path = "a: b #c";
  c.input.path = "null";
  c.output.dir = "./~";
  c.sampling.stop = {"null", "true", "1", "\n", "\t\"'\\", "näh", "- x", "[", "\x01"};
  c.output.carry_columns = std::vector<std::string>{"all", "null"};
  RunConfig back = parse(to_yaml(c));
  CHECK(back.sampling.stop == c.sampling.stop);
  CHECK(back.output.carry_columns == c.output.carry_columns);
  CHECK(back.model.path == c.model.path);
  CHECK(back.input.path == c.input.path);
  CHECK(back.output.dir == c.output.dir);
  c.output.carry_columns = std::vector<std::string>{};
  CHECK(parse(to_yaml(c)).output.carry_columns->empty());
}

TEST_CASE("one value stands for a list of one") {
  CHECK(parse("sampling: {stop: 'END', stop_token_ids: 5}").sampling.stop == std::vector<std::string>{"END"});
  CHECK(parse("output: {store: text}").output.store_token_ids == false);
  CHECK(parse("output: {carry_columns: none}").output.carry_columns->empty());
}

TEST_CASE("faults name the file, the line, the key and what is accepted") {
  CHECK(has(fault("sampling:\n  temprature: 1\n"), "run.yaml:2: unknown key 'sampling.temprature'"));
  CHECK(has(fault("sampling:\n  temprature: 1\n"), "'sampling.temperature'"));
  CHECK(has(fault("temperature: 1"), "'sampling.temperature'"));
  CHECK(has(fault("samplng: {top_p: 1}"), "nearest known key is 'sampling"));
  CHECK(has(fault("model:\n  path: x\n  max_tokens: 4\n"), "run.yaml:3: unknown key 'model.max_tokens'"));
  CHECK(has(fault("sampling: {repetition_detection: {min_cout: 1}}"), "'sampling.repetition_detection.min_count'"));
  CHECK(has(fault("\n\nsampling: {top_p: 1.5}"), "run.yaml:3: sampling.top_p: '1.5'"));
  CHECK(has(fault("sampling: {n: many}"), "accepted: a number of samples from 1"));
  CHECK(has(fault("sampling: {n: 0}"), "sampling.n: '0'"));
  CHECK(has(fault("sampling: {n: 1.5}"), "sampling.n"));
  CHECK(has(fault("sampling: {n: -1}"), "sampling.n"));
  CHECK(has(fault("sampling: {n: null}"), "null is not accepted"));
  CHECK(has(fault("sampling: {temperature: .nan}"), "sampling.temperature"));
  CHECK(has(fault("sampling: {max_tokens: 99999999999999999999}"), "sampling.max_tokens"));
  CHECK(has(fault("sampling: {stop: [a, '']}"), "sampling.stop"));
  CHECK(has(fault("sampling: 3"), "sampling: '3' is not accepted; accepted: a mapping"));
  CHECK(has(fault("- a\n- b\n"), "a run.yaml is a mapping"));
  CHECK(has(fault("model: {path: a}\nmodel: {path: b}\n"), "run.yaml:2: model: given twice"));
  CHECK(has(fault("model: {path: a\nb: ["), "run.yaml:"));
  CHECK(has(fault("model: {path: a\nb: ["), "not YAML"));
  CHECK(has(fault("a:\n\t- b\n"), "not YAML"));
  CHECK(has(fault("model: {path: x}\n---\nmodle: {path: y}\n"), "run.yaml:2: a second YAML document"));
  CHECK(has(fault("\n,model: {path: x}\n"), "run.yaml:2: this is not YAML"));
  CHECK(fault("---\nmodel: {path: x}\n...\n") == "no error");
  CHECK(has(fault("schema_version: 2"), "schema_version"));
  CHECK(fault("schema_version: 1") == "no error");
  CHECK(has(fault("errors: {too_long: cut}"), "truncate_left"));
  CHECK(has(fault("output: {compression: gzip-12}"), "gzip-1 to gzip-9"));
  CHECK(has(fault("output: {store: [text, images]}"), "output.store"));
  CHECK(has(fault("runtime: {max_wall_time: soon}"), "runtime.max_wall_time"));
  CHECK(has(fault("model: {dtype: float32}"), "model.dtype"));
  CHECK(has(fault("sampling: {max_tokens: null}"), "null is not accepted"));
}

TEST_CASE("times are seconds, numbers with a unit, or clock times") {
  const auto seconds = [](const std::string& text) {
    return parse("runtime: {drain_margin: 1, max_wall_time: '" + text + "'}").runtime.max_wall_time_seconds;
  };
  CHECK(seconds("90") == 90);
  CHECK(seconds("1.5h") == 5400);
  CHECK(seconds("2d") == 172800);
  CHECK(seconds("100:2:3") == 360123);
  CHECK(seconds("3-0:00:01") == 259201);
  for (const char* wrong : {"1:30", "1:100:00", "1:00:100", "-1:00:00", "1-", "1-2", ":1:1", "1:2:3:4", "1-1-1:0:0",
                            "1:2:3s", "h", "99999999999:00:00"}) {
    CHECK_MESSAGE(has(fault(std::string("runtime: {max_wall_time: '") + wrong + "'}"), "runtime.max_wall_time"), wrong);
  }
}

TEST_CASE("what users of vLLM write where it means the same") {
  RunConfig c =
      parse("model: {dtype: auto, load_format: safetensors, max_model_len: null}\nsampling: {top_k: -1, seed: null}");
  CHECK(c.model.dtype == "bfloat16");
  CHECK(c.model.load_format == "auto");
  CHECK(!c.model.max_model_len);
  CHECK(c.sampling.top_k == 0);
  CHECK(c.sampling.seed == 0);
  CHECK(differing_keys(c, parse("")).empty());
  CHECK(has(fault("sampling: {top_k: -2}"), "sampling.top_k"));
}

TEST_CASE("experts' outputs are summed as the model has it, by picks or by groups; it changes the answers") {
  CHECK(!parse("model: {expert_sum: auto}").model.expert_sum);
  CHECK(!RunConfig().model.expert_sum);
  const RunConfig groups = parse("model: {expert_sum: groups}"), picks = parse("model: {expert_sum: picks}");
  CHECK(groups.model.expert_sum == ExpertSum::Groups);
  CHECK(parse(to_yaml(picks)).model.expert_sum == ExpertSum::Picks);
  CHECK(differing_keys(picks, groups) == std::vector<std::string>{"model.expert_sum"});
  CHECK(has(fault("model: {expert_sum: nodes}"), "groups"));
}

TEST_CASE("the arithmetic is bf16 under its three names, or int8; it changes the answers") {
  for (const char* word : {"auto", "exact", "bf16"})
    CHECK(parse("model: {arithmetic: int8}", {std::string("model.arithmetic=") + word}).model.arithmetic ==
          Arithmetic::Bf16);
  const RunConfig int8 = parse("model: {arithmetic: int8}");
  CHECK(parse(to_yaml(int8)).model.arithmetic == Arithmetic::Int8);
  CHECK(differing_keys(parse("model: {arithmetic: exact}"), int8) == std::vector<std::string>{"model.arithmetic"});
  CHECK(has(fault("model: {arithmetic: fp8}"), "int8"));
}

TEST_CASE("names of other programs' settings are answered with their replacement; nothing far-fetched is suggested") {
  CHECK(has(fault("parallel: {tensor_parallel_size: 4}"),
            "does not support it; instead: experts are spread over MPI ranks"));
  CHECK(has(fault("gpu_memory_utilization: 0.9"), "run.yaml:1: unknown key 'gpu_memory_utilization'"));
  CHECK(has(fault("", {"model.trust_remote_code=true"}), "no code of a model folder"));
  CHECK(has(fault("sampling: {best_of: 4}"), "sampling.n"));
  CHECK(has(fault("sampling: {max_new_tokens: 4}"), "instead: sampling.max_tokens"));
  CHECK(has(fault("sampling: {use_beam_search: true}"), "does not support it"));
  CHECK(!has(fault("sampling: {logit_bias: {}}"), "nearest"));
  for (const char* far : {"colour", "sampling.banana", "verbose", "x"}) {
    const std::string text = fault("", {std::string(far) + "=1"});
    CHECK_MESSAGE((has(text, "unknown key") && !has(text, "nearest") && has(text, "moemill help run.yaml")), text);
  }
  CHECK(has(fault("sampling: {max-tokens: 3}"), "nearest known key is 'sampling.max_tokens'"));
  CHECK(has(fault("samplng: {top_p: 1}"), "nearest known key is 'sampling'"));
  CHECK(key_of_flag("--temperature") == "sampling.temperature");
  CHECK(key_of_flag("--max-model-len") == "model.max_model_len");
  CHECK(key_of_flag("--colour").empty());
}

TEST_CASE("what only a shell understands in a path is refused wherever a path is given") {
  for (const char* path : {"~/models/x", "$HOME/x", "${SCRATCH}/x", "/data/$USER/x", "runs/$SLURM_JOB_ID", "~user/x"}) {
    for (const char* key : {"model.path", "input.path", "output.dir", "runtime.stop_file"}) {
      CHECK(has(fault("", {fmt::format("{}={}", key, path)}), fmt::format("{}: {}", key, path)));
      CHECK_THROWS_AS(parse_config("", "command line", {literal_override(key, path, "flag")}), UserError);
    }
    CHECK_THROWS_AS(check_path("-c", path), UserError);
  }
  CHECK_THROWS_AS(parse_config("", "command line", {literal_override("output.dir", "~", "output-dir")}), UserError);
  for (const char* path : {"cost$", "a$1", "a~b", "./~", "$"}) CHECK_NOTHROW(check_path("-c", path));
}

TEST_CASE("what this version cannot do is refused, not ignored") {
  CHECK(has(fault("parallel: {redundant_experts: -2}"), "copies of experts"));
  CHECK(has(fault("parallel: {node_memory: shared}"), "auto, required or off"));
  CHECK(has(fault("parallel: {rebalance: {policy: eplb}}"), "none, or measured"));
  CHECK(has(fault("parallel: {roles: {prefill_ranks: 1}}"), "not in this version"));
  CHECK(has(fault("runtime: {backend: tpu}"), "built with it"));
}

TEST_CASE("rules between keys") {
  CHECK(has(fault("sampling: {min_tokens: 9, max_tokens: 3}"), "min_tokens (9)"));
  CHECK(has(fault("sampling: {repetition_detection: {max_pattern_size: 3}}"), "min_count is 0"));
  CHECK(has(fault("output: {store: [text, logprobs]}"), "sampling.logprobs is null"));
  CHECK(has(fault("runtime: {max_wall_time: 60, drain_margin: 60}"), "runtime.drain_margin (60 s, run.yaml:1)"));
  CHECK(fault("runtime: {max_wall_time: 61, drain_margin: 60}") == "no error");
  CHECK(has(fault("output: {dir: \"runs/\xff\"}"), "UTF-8"));
  CHECK(fault("output: {store: [text, logprobs]}", {"sampling.logprobs=0"}) == "no error");
}

TEST_CASE("overrides: faults name the flag") {
  CHECK(has(fault("", {"sampling.top_p=3"}), "--set sampling.top_p=3: sampling.top_p: '3'"));
  CHECK(has(fault("", {"samplin.top_p=1"}), "nearest known key is 'sampling.top_p'"));
  CHECK(has(fault("", {"sampling"}), "key.path=value"));
}

TEST_CASE("faults name where each value comes from: the file's line, --set, or an option of its own") {
  CHECK(has(fault("", {"output.dir=~/x"}), "--set output.dir=~/x: output.dir: ~/x: only a shell"));
  CHECK(has(fault("\noutput: {dir: $HOME/x}", {"sampling.n=2"}), "run.yaml:2: output.dir: $HOME/x"));
  CHECK(has(fault("", {"output={dir: ~/x}"}), "--set output={dir: ~/x}: output.dir"));
  for (auto [key, flag] : {std::pair("output.dir", "output-dir"), {"model.path", "model"}, {"input.path", "input"}}) {
    try {
      parse_config(fmt::format("{}: {{{}: a}}", std::string(key).substr(0, std::string(key).find('.')),
                               std::string(key).substr(std::string(key).find('.') + 1)),
                   "run.yaml", {literal_override(key, "~/x", flag)});
      FAIL("not refused");
    } catch (const UserError& e) {
      CHECK(std::string(e.what()).starts_with(fmt::format("--{0} ~/x: {1}: ~/x", flag, key)));
    }
  }
  CHECK(has(fault("sampling: {max_tokens: 3}", {"sampling.min_tokens=9"}),
            "--set sampling.min_tokens=9: sampling.min_tokens (9) is larger than sampling.max_tokens (3, run.yaml:1)"));
  CHECK(has(fault("sampling: {min_tokens: 300}"), "sampling.max_tokens (256, the default)"));
  CHECK(has(fault("", {"sampling.repetition_detection.max_pattern_size=3"}),
            "max_pattern_size is on (3, --set sampling."));
  CHECK(has(fault("output: {store: [logprobs]}"), "run.yaml:1: output.store lists logprobs"));
  CHECK(
      has(fault("runtime: {max_wall_time: 60}", {"runtime.drain_margin=99"}), "(99 s, --set runtime.drain_margin=99)"));
}

TEST_CASE("overrides: a section takes a map, as in the file") {
  const RunConfig c = parse("sampling: {top_p: 0.5, repetition_detection: {min_count: 3, max_pattern_size: 7}}",
                            {"sampling={n: 2, repetition_detection: {min_count: 5}}"});
  CHECK(c.sampling.n == 2);
  CHECK(c.sampling.top_p == 0.5f);
  CHECK(c.sampling.repetition_detection.min_count == 5);
  CHECK(c.sampling.repetition_detection.max_pattern_size == 7);
  const auto detection = parse("", {"sampling.repetition_detection={max_pattern_size: 4, min_count: 2}"});
  CHECK(detection.sampling.repetition_detection.max_pattern_size == 4);
  CHECK(differing_keys(parse("", {"sampling="}), RunConfig()).empty());
  CHECK(has(fault("", {"sampling=3"}), "--set sampling=3: sampling: '3' is not accepted; accepted: a mapping"));
  CHECK(has(fault("", {"sampling={n: 0}"}), "--set sampling={n: 0}: sampling.n: '0' is not accepted"));
  CHECK(has(fault("", {"sampling={n: 1, n: 2}"}), "sampling.n: given twice"));
  CHECK(has(fault("", {"sampling={temprature: 1}"}), "nearest known key is 'sampling.temperature'"));
  CHECK(has(fault("", {"output={store: [text, logprobs]}"}), "sampling.logprobs is null"));
  CHECK(fault("", {"output={store: [text, logprobs]}", "sampling={logprobs: 0}"}) == "no error");
  CHECK(advice_for_key("sampling.repetition_detection").find("nearest") == std::string::npos);
  CHECK(has(advice_for_key("sampling.repetition_detektion"), "'sampling.repetition_detection'"));
}

TEST_CASE("the nearest key: few errors for its length, a beginning, another section; else none") {
  for (const char* far :
       {"sampling.xyz", "sampling.m", "sampling.x", "output.formt", "output.abc", "input.foo", "model.n_gpu",
        "runtime.walltime_seconds", "parallel.max", "cost.xxit", "output.banana", "abc", "tmp", "q"})
    CHECK_MESSAGE(nearest_key(far).empty(), far, " -> ", nearest_key(far));
  for (const auto& [near, key] : {std::pair("sampling.temp", "sampling.temperature"),
                                  {"sampling.max", "sampling.max_tokens"},
                                  {"sampling.topp", "sampling.top_p"},
                                  {"sampling.stop_sequences", "sampling.stop"},
                                  {"sampling.sede", "sampling.seed"},
                                  {"output.direcotry", ""},
                                  {"output.dirr", "output.dir"},
                                  {"samplign.n", "sampling.n"},
                                  {"n", "sampling.n"},
                                  {"model.temprature", "sampling.temperature"},
                                  {"--max-model-length", "model.max_model_len"},
                                  {"paralel", "parallel"},
                                  {"schema_versoin", "schema_version"},
                                  {"sampling.repetition_detektion", "sampling.repetition_detection"},
                                  {"parallel.rebalance.polciy", "parallel.rebalance.policy"},
                                  {"rebalance.policy", "parallel.rebalance.policy"}}) {
    const std::string written = near;  // clang 14 cannot capture a structured binding
    CHECK_MESSAGE(nearest_key(written) == std::string(key), written, " -> ", nearest_key(written));
  }
}

TEST_CASE("a bad element of a list is named, with its line") {
  CHECK(
      has(fault("sampling: {stop: ['', a]}"), "run.yaml:1: sampling.stop: element 1 of the list, '', is not accepted"));
  CHECK(has(fault("sampling:\n  stop:\n  - a\n  - [b]\n"),
            "run.yaml:4: sampling.stop: element 2 of the list, a list, is"));
  CHECK(has(fault("sampling: {stop: [a, ~]}"), "element 2 of the list, null, is not accepted"));
  CHECK(has(fault("sampling: {stop_token_ids: [1, -2]}"), "sampling.stop_token_ids: element 2 of the list, '-2'"));
  CHECK(has(fault("output: {store: [text, images]}"), "output.store: element 2 of the list, 'images'"));
  CHECK(has(fault("output: {carry_columns: [a, b, a]}"),
            "output.carry_columns: element 3 of the list, 'a', is given twice"));
  CHECK(has(fault("", {"sampling.stop=[a, '']"}), "--set sampling.stop=[a, '']: sampling.stop: element 2"));
  CHECK(has(fault("sampling: {n: [1]}"), "sampling.n: a list is not accepted"));
}

TEST_CASE("numbers that readers of YAML take for other numbers are refused with the cure") {
  for (const char* number : {"010", "0x1f", "0o17", "1_000", "-010", "+012", "0b11"}) {
    for (const char* key : {"sampling.seed", "sampling.temperature", "sampling.stop_token_ids", "input.limit"})
      CHECK_MESSAGE(has(fault("", {fmt::format("{}={}", key, number)}), "in decimal digits, without a leading 0"),
                    number);
  }
  CHECK(has(fault("sampling: {stop_token_ids: [5, 010]}"), "element 2 of the list, '010'"));
  CHECK(parse("sampling: {temperature: 0.5, seed: 0, stop: [010]}").sampling.stop == std::vector<std::string>{"010"});
  CHECK(parse("runtime: {max_wall_time: 05m, drain_margin: 1}").runtime.max_wall_time_seconds == 300);
  CHECK(parse("runtime: {max_wall_time: 01:30:00}").runtime.max_wall_time_seconds == 5400);
  CHECK(!has(fault("model: {dtype: 1x}"), "decimal"));
  CHECK(has(fault("a: &a {n: 2}\n"), "unknown key 'a'"));
  CHECK(has(fault("sampling: {<<: {n: 2}}"), "run.yaml:1: merge keys (<<) are not read"));
}

TEST_CASE("resume compares what can change the answers") {
  RunConfig a, b;
  b.parallel.max_num_seqs = 3;
  b.runtime.log_level = "debug";
  b.output.merge = false;
  b.model.path = "elsewhere/the/same/model";
  CHECK(differing_keys(a, b).empty());
  b.sampling.temperature = 0.5f;
  b.errors.too_long = TooLong::TruncateRight;
  CHECK(differing_keys(a, b) == std::vector<std::string>{"sampling.temperature", "errors.too_long"});
}

TEST_CASE("the nearest name") {
  CHECK(nearest_name("validat", {"run", "validate", "verify"}) == "validate");
  CHECK(nearest_name("zzzzzzzzzz", {"run", "validate"}).empty());
  CHECK(nearest_name("--out", {"--input", "--output-dir"}) == "--output-dir");
  CHECK(nearest_name("--sett", {"--set", "--model"}) == "--set");
  CHECK(nearest_name("--foo", {"--set", "--limit"}).empty());
  CHECK(nearest_name("rum", {"run", "validate"}) == "run");
  CHECK(nearest_name("ls", {"run", "bench"}).empty());
}
