#include "bench/options.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <boost/program_options.hpp>
#include <charconv>
#include <sstream>
#include <string_view>

#include "base/error.hpp"
#include "base/page_tokens.hpp"
#include "base/text/path_text.hpp"
#include "generate/backend/backends.hpp"
#include "system/machine/batch.hpp"

namespace moemill::bench {

namespace po = boost::program_options;

namespace {

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> out;
  for (;;) {
    const std::size_t at = text.find(separator);
    out.push_back(text.substr(0, at));
    if (at == std::string_view::npos) return out;
    text.remove_prefix(at + 1);
  }
}

// Accepts 1 to 2^20, the largest width of a model's matrix.
std::uint32_t parse_count(std::string_view text, std::string_view whole) {
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value == 0 || value > (1u << 20)) {
    user_error("bench: '{}' in '{}' is not a whole number from 1 to 1048576", text, whole);
  }
  return value;
}

int parse_threads(const std::string& text, const Comm& ranks) {
  if (text == "auto") {
    const Comm shared = ranks.split_by_node();
    const auto beside = gather(shared, cpus_of_this_rank());
    return static_cast<int>(fair_threads(beside, static_cast<std::size_t>(shared.rank())));
  }
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 1 || value > 1024)
    user_error("bench: --threads {}: write auto or 1 to 1024", text);
  return value;
}

}  // namespace

std::vector<Shape> parse_shapes(const std::string& text) {
  std::vector<Shape> out;
  for (std::string_view item : split(text, ',')) {
    const auto sides = split(item, 'x');
    if (sides.size() != 2) user_error("bench: '{}' is not a shape; write one or more like 1024x512,512x1024", item);
    out.push_back({parse_count(sides[0], item), parse_count(sides[1], item)});
  }
  return out;
}

std::vector<std::size_t> parse_counts(const std::string& text) {
  std::vector<std::size_t> out;
  for (std::string_view item : split(text, ',')) out.push_back(parse_count(item, text));
  return out;
}

std::string_view format_name(cpu::Format format) {
  switch (format) {
    case cpu::Format::Bf16: return "bf16";
    case cpu::Format::Fp8: return "fp8";
    case cpu::Format::Mxfp4: return "mxfp4";
    case cpu::Format::Int8: return "int8";
  }
  throw ContractViolation("a format of weights has a name");
}

std::vector<cpu::Format> parse_formats(const std::string& text) {
  std::vector<cpu::Format> out;
  for (std::string_view item : split(text, ',')) {
    for (cpu::Format format : {cpu::Format::Bf16, cpu::Format::Fp8, cpu::Format::Mxfp4, cpu::Format::Int8}) {
      if (item == format_name(format)) out.push_back(format);
    }
    if (out.empty() || item != format_name(out.back())) {
      user_error("bench: '{}' is no format of weights; write one or more of bf16,fp8,mxfp4,int8", item);
    }
  }
  return out;
}

po::options_description describe_common_options(const char* threads) {
  po::options_description known("options");
  auto add = known.add_options();
  add("help,h", "show this");
  add("isa", po::value<std::string>()->default_value("auto"),
      "plain, avx2, avx512, avx512_bf16 or amx; auto: as a run chooses");
  add("threads", po::value<std::string>()->default_value(threads), "threads per rank; auto: as many as a run starts");
  add("json", "print JSON instead of text");
  return known;
}

void take_common_options(CommonOptions& options, const po::variables_map& given, const Comm& ranks) {
  const auto& isa = given["isa"].as<std::string>();
  options.isa = isa == "auto" ? mill::chosen_isa() : cpu::parse_isa(isa);
  options.threads = parse_threads(given["threads"].as<std::string>(), ranks);
  if (given.count("json")) options.form = Form::Json;
}

po::variables_map parse_words(const std::vector<std::string>& args, const po::options_description& known) {
  po::variables_map given;
  try {
    const auto style = po::command_line_style::unix_style & ~po::command_line_style::allow_guessing;
    po::store(po::command_line_parser(args).options(known).positional({}).style(style).run(), given);
    po::notify(given);
  } catch (const po::error& e) {
    user_error("bench: {}; --help lists the options", e.what());
  }
  return given;
}

void print_usage(const std::string& usage, const po::options_description& known,
                 const std::vector<std::string>& examples) {
  std::ostringstream text;
  text << known;
  fmt::print("usage: {}\n\n{}\nexamples:\n  {}\n", usage, text.str(), fmt::join(examples, "\n  "));
}

std::optional<KernelOptions> parse_kernel_options(const std::vector<std::string>& args,
                                                  const KernelDefaults& defaults) {
  KernelOptions out;
  std::string shapes, rows, groups, weights;
  po::options_description known = describe_common_options("1");
  auto add = known.add_options();
  add("shapes", po::value(&shapes)->default_value(defaults.shapes), defaults.shapes_help);
  add("rows", po::value(&rows)->default_value(defaults.rows), defaults.rows_help);
  add("seconds", po::value(&out.seconds)->default_value(out.seconds, fmt::format("{}", out.seconds)),
      "seconds to spend on each number");
  if (defaults.groups) {
    add("groups", po::value(&groups)->default_value(defaults.groups),
        "query heads per key-value head x width of a head, one or more");
    add("model", po::value(&out.model),
        "folder with a config.json, or a name of configs/models: its shapes instead of the lists'");
    add("shared-prefix", po::value(&out.shared_prefix)->default_value(0),
        "tokens with which all prompts begin, in whole pages of 64: measures prompts behind them, on pages of their "
        "own "
        "and on shared ones");
  }
  if (defaults.weights) {
    add("weights", po::value(&weights)->default_value(defaults.weights),
        "bf16, fp8, mxfp4 or int8, one or more: how the weights are kept");
  }
  const po::variables_map given = parse_words(args, known);
  if (given.count("help")) {
    print_usage(defaults.usage, known, defaults.examples);
    return std::nullopt;
  }
  check_path("--model", out.model);
  take_common_options(out, given, Comm::alone());
  if (!(out.seconds > 0 && out.seconds <= 3600))
    user_error("bench: --seconds {}: write a number above 0, up to 3600", out.seconds);
  out.shapes = parse_shapes(shapes);
  if (defaults.groups) out.groups = parse_shapes(groups);
  if (defaults.weights) out.weights = parse_formats(weights);
  out.rows = parse_counts(rows);
  if (out.shared_prefix % page_tokens != 0)
    user_error("bench: --shared-prefix {}: write a multiple of {}, because pages are shared", out.shared_prefix,
               page_tokens);
  for (const std::size_t count : out.rows) {
    if (out.shared_prefix > 0 && count <= out.shared_prefix)
      user_error("bench: --shared-prefix {}: --rows {} leaves a prompt nothing of its own", out.shared_prefix, count);
  }
  return out;
}

}  // namespace moemill::bench
