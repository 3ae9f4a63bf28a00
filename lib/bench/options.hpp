// The options that benchmarks share, and their parsing. Used by bench/ only.
#pragma once

#include <boost/program_options.hpp>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/cpu/stream.hpp"
#include "kernels/matrix.hpp"
#include "system/comm/comm.hpp"

namespace moemill::bench {

struct Shape {
  std::uint32_t first, second;  // K x N of a product, or key width x value width of attention
};

enum class Form { Table, Json };

// The options that every benchmark has: --isa, --threads and --json.
struct CommonOptions {
  cpu::Isa isa = cpu::best_isa();
  int threads = 1;  // per rank
  Form form = Form::Table;
};

struct KernelOptions : CommonOptions {
  std::vector<Shape> shapes;
  std::vector<Shape> groups;  // of grouped attention: heads per group x width of a head
  std::vector<cpu::Format> weights = {cpu::Format::Bf16};
  std::string model;  // folder whose config.json gives the shapes instead; "": none
  std::vector<std::size_t> rows;
  std::uint32_t shared_prefix = 0;  // of attention: tokens at the beginning of all prompts; 0: steps without them
  double seconds = 0.2;             // per measured number
};

// The meaning and the default values of the lists, for parsing and for --help.
struct KernelDefaults {
  const char* usage;
  std::vector<std::string> examples;
  const char* shapes_help;
  const char* shapes;
  const char* rows_help;
  const char* rows;
  const char* groups = nullptr;   // null: neither --groups nor --model
  const char* weights = nullptr;  // null: no --weights
};

// Describes --help and the common options; `threads` is the default: a number, or auto, which is as many as a run
// starts.
boost::program_options::options_description describe_common_options(const char* threads);
// Takes them from the parsed words. Collective over `ranks` if --threads is auto; throws UserError.
void take_common_options(CommonOptions& options, const boost::program_options::variables_map& given, const Comm& ranks);

// Parses the words after a benchmark's name by its `known` options, which may not be abbreviated. Throws UserError.
boost::program_options::variables_map parse_words(const std::vector<std::string>& args,
                                                  const boost::program_options::options_description& known);
void print_usage(const std::string& usage, const boost::program_options::options_description& known,
                 const std::vector<std::string>& examples);

// Prints the help and returns nothing if it is asked for. Throws UserError.
std::optional<KernelOptions> parse_kernel_options(const std::vector<std::string>& args, const KernelDefaults& defaults);

// The parsers throw UserError.
std::vector<Shape> parse_shapes(const std::string& text);         // "1024x512,512x1024"
std::vector<std::size_t> parse_counts(const std::string& text);   // "1,8,32"
std::vector<cpu::Format> parse_formats(const std::string& text);  // "bf16,fp8,mxfp4"
std::string_view format_name(cpu::Format format);

}  // namespace moemill::bench
