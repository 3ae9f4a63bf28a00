// The options that the kernel benchmarks share, and how they are parsed. Used by *_bench.cpp only.
#pragma once

#include <boost/program_options.hpp>
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "kernels/stream.hpp"
#include "system/comm/comm.hpp"

namespace moemill::bench {

struct Shape {
  std::uint32_t first, second;  // KxN of a product, key x value width of attention
};

enum class Form { Table, Json };

struct KernelOptions {
  cpu::Isa isa = cpu::best_isa();
  int threads = 1;
  std::vector<Shape> shapes;
  std::vector<Shape> groups;  // of grouped attention: heads of a group x width of a head
  std::string model;          // folder whose config.json names the shapes instead; empty: none
  std::vector<std::size_t> rows;
  double seconds = 0.2;  // for each number
  Form form = Form::Table;
};

// What the lists mean and hold when not given, for parsing and for --help.
struct KernelDefaults {
  const char* usage;
  std::vector<std::string> examples;
  const char* shapes_help;
  const char* shapes;
  const char* rows_help;
  const char* rows;
  const char* groups = nullptr;  // null: neither --groups nor --model
};

// The words behind a benchmark's name by its `known` options, none of them abbreviated. Throws UserError.
boost::program_options::variables_map parse_words(const std::vector<std::string>& args,
                                                  const boost::program_options::options_description& known);
void print_usage(const std::string& usage, const boost::program_options::options_description& known,
                 const std::vector<std::string>& examples);

// Empty when help was asked for, and printed. Throws UserError.
std::optional<KernelOptions> parse_kernel_options(const std::vector<std::string>& args, const KernelDefaults& defaults);

// "1024x512,512x1024" and "1,8,32". Throw UserError.
std::vector<Shape> parse_shapes(const std::string& text);
std::vector<std::size_t> parse_counts(const std::string& text);

// Threads per rank: 1 to 1024, or what parallel.threads_per_rank: auto is on these ranks. Collective; throws UserError.
int parse_threads(const std::string& text, const Comm& world);

}  // namespace moemill::bench
