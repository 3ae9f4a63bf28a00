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

struct KernelOptions {
  cpu::Isa isa = cpu::best_isa();
  int threads = 1;
  std::vector<Shape> shapes;
  std::vector<Shape> groups;  // of grouped attention: heads per group x width of a head
  std::vector<cpu::Format> weights = {cpu::Format::Bf16};
  std::string model;  // folder whose config.json gives the shapes instead; "": none
  std::vector<std::size_t> rows;
  double seconds = 0.2;  // per measured number
  Form form = Form::Table;
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

// Parses the words after a benchmark's name by its `known` options, which may not be abbreviated. Throws UserError.
boost::program_options::variables_map parse_words(const std::vector<std::string>& args,
                                                  const boost::program_options::options_description& known);
void print_usage(const std::string& usage, const boost::program_options::options_description& known,
                 const std::vector<std::string>& examples);

// Prints the help and returns nothing if it is asked for. Throws UserError.
std::optional<KernelOptions> parse_kernel_options(const std::vector<std::string>& args, const KernelDefaults& defaults);

// Parse "1024x512,512x1024" and "1,8,32". Throw UserError.
std::vector<Shape> parse_shapes(const std::string& text);
std::vector<std::size_t> parse_counts(const std::string& text);
// "bf16,fp8,mxfp4", likewise.
std::vector<cpu::Format> parse_formats(const std::string& text);
std::string_view format_name(cpu::Format format);

// Threads per rank: 1 to 1024, or what parallel.threads_per_rank: auto is on these ranks. Collective; throws UserError.
int parse_threads(const std::string& text, const Comm& world);

}  // namespace moemill::bench
