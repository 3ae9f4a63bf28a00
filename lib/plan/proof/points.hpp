// Published throughputs: configs/published.yaml, and files of the same format. Each point names a machine, a model and
// a layout, and says what its publisher measured and counted.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "plan/estimate/catalog.hpp"
#include "plan/estimate/layout.hpp"
#include "plan/estimate/precision.hpp"
#include "plan/estimate/throughput.hpp"

namespace moemill::estimate {

// Prefill and Decode: one phase on GPUs of its own. Queued: all requests are there at the beginning and pass through
// both phases on the same GPUs.
enum class Workload { Prefill, Decode, Queued };

struct Point {
  std::string id, date, source, hardware, model;
  std::string precision_text, layout_text;  // for people
  Precision precision;
  Layout layout;
  Workload workload = Workload::Prefill;
  double prefill_rows = 0, prompt_tokens = 0;  // Prefill: rows of a GPU and step
  DecodeRows decode;                           // Decode
  QueuedWork queued;                           // Queued
  std::string counted;                         // what the publisher counted
  double published = 0;                        // tokens per second and GPU
  std::string assumed;                         // what the publisher does not say
  std::string why;                             // the reason for a large error, if it is known
};

// Text of a file with `points`. A point that itself has `points` gives its keys to them. The machines and models are
// those of the catalog.
std::vector<Point> read_points(std::string_view text, const std::string& file, Catalog& catalog);

const char* name_of(Workload workload);
std::string lengths_text(const Point& point);  // rows and contexts, or requests and lengths

}  // namespace moemill::estimate
