#include "plan/proof/points.hpp"

#include <fmt/format.h>

#include <set>

#include "base/error.hpp"

namespace moemill::estimate {
namespace {

const Words known_keys = {"id",
                          "date",
                          "source",
                          "hardware",
                          "model",
                          "precision",
                          "layout",
                          "workload",
                          "rows_per_gpu",
                          "context",
                          "rows_per_sequence",
                          "kept_per_sequence",
                          "requests",
                          "input_tokens",
                          "output_tokens",
                          "prompt_rows_per_gpu",
                          "counted",
                          "published",
                          "assumed",
                          "why",
                          "points"};
constexpr Range any_count{1, 1e9};
constexpr std::size_t most_points = 100'000;
// Engines compute prompts in pieces of this many rows, if a point does not say how many.
constexpr double usual_prompt_rows = 8192;

std::string text_of(const Precision& precision) {
  std::string text = name_of(precision.weights);
  if (precision.projections != precision.weights) text += fmt::format(", {} attention", name_of(precision.projections));
  if (precision.cache == CacheFormat::Fp8) text += ", fp8 cache";
  return text;
}

std::string text_of(const Layout& layout) {
  std::string text = layout.gpus == 1 ? "1 GPU" : fmt::format("EP{}", layout.gpus);
  if (layout.micro_batches == 2) text += ", two micro-batches";
  if (layout.gpus == 1) return text;
  switch (layout.exchange) {
    case Exchange::EveryCopy: text += ", every copy"; break;
    case Exchange::OnceANode: text += ", once a node"; break;
    case Exchange::OnceAGpu: text += ", once a GPU"; break;
    case Exchange::AllGather: text += ", all-gather"; break;
  }
  if (layout.balance == Balance::Perfect) text += ", perfect balance";
  if (layout.balance == Balance::Balanced) text += ", balanced";
  if (layout.redundant_experts > 0) text += fmt::format(", {} redundant experts", layout.redundant_experts);
  return text;
}

void read_decode(const Section& section, Point& point) {
  point.decode.rows = section.number("rows_per_gpu", any_count);
  point.decode.context = section.number("context", any_count);
  point.decode.rows_per_sequence = section.find_number("rows_per_sequence", {1, 64}).value_or(1);
  const double most = point.decode.rows_per_sequence;
  point.decode.kept_per_sequence = section.find_number("kept_per_sequence", {1, most}).value_or(1);
}

void read_workload(const Section& section, Point& point) {
  const std::string workload = section.word("workload", {"prefill", "decode", "queued"});
  if (workload == "decode") {
    point.workload = Workload::Decode;
    return read_decode(section, point);
  }
  if (workload == "prefill") {
    point.prefill_rows = section.number("rows_per_gpu", any_count);
    point.prompt_tokens = section.number("context", any_count);
    return;
  }
  point.workload = Workload::Queued;
  point.queued = {section.number("requests", any_count), section.number("input_tokens", any_count),
                  section.number("output_tokens", any_count),
                  section.find_number("prompt_rows_per_gpu", any_count).value_or(usual_prompt_rows)};
}

Point read_point(const Section& section, Catalog& catalog) {
  Point point;
  point.id = section.text("id");
  point.date = section.date("date");
  point.source = section.text("source");
  point.hardware = section.text("hardware");
  point.model = section.text("model");
  try {
    if (!catalog.hardware(point.hardware).calibration.empty())
      user_error("{}: is a CPU node, which its own calibration predicts; points are of data sheets", point.hardware);
    catalog.model(point.model);
  } catch (const UserError& unknown) {
    user_error("{}: {}", section.place_of("id"), unknown.what());
  }
  point.precision = read_precision(section, "precision");
  point.layout = read_layout(section, "layout", catalog.model(point.model), catalog.hardware(point.hardware));
  point.precision_text = text_of(point.precision);
  point.layout_text = text_of(point.layout);
  read_workload(section, point);
  point.counted = section.text("counted");
  point.published = section.number("published", {1e-3, 1e12});
  point.assumed = section.text_or("assumed", "");
  point.why = section.text_or("why", "");
  return point;
}

class PointReader {
 public:
  PointReader(std::string file, Catalog& catalog) : file_(std::move(file)), catalog_(catalog) {}

  // The points of a list within `outer`, whose keys they share.
  void read(const Section& outer) {
    const yaml::Node* list = outer.find_own("points");
    if (!list || !list->is_list() || list->items.empty()) outer.refuse("points", "a list of points");
    for (const yaml::Node& node : list->items) {
      const Section section(node, file_, "", known_keys, &outer);
      if (section.find_own("points")) {
        read(section);
        continue;
      }
      if (points.size() == most_points) user_error("{}:{}: more than {} points", file_, node.line, most_points);
      points.push_back(read_point(section, catalog_));
      if (!ids_.insert(points.back().id).second)
        user_error("{}: '{}' is the id of an earlier point; give each its own", section.place_of("id"),
                   points.back().id);
    }
  }

  std::vector<Point> points;

 private:
  std::string file_;
  Catalog& catalog_;
  std::set<std::string> ids_;
};

}  // namespace

const char* name_of(Workload workload) {
  switch (workload) {
    case Workload::Prefill: return "prefill";
    case Workload::Decode: return "decode";
    case Workload::Queued: break;
  }
  return "queued";
}

std::string lengths_text(const Point& point) {
  switch (point.workload) {
    case Workload::Prefill:
      return fmt::format("{:.0f} rows of prompts of {:.0f} tokens", point.prefill_rows, point.prompt_tokens);
    case Workload::Decode: {
      std::string text = fmt::format("{:.0f} rows at {:.0f} positions", point.decode.rows, point.decode.context);
      if (point.decode.rows_per_sequence > 1)
        text += fmt::format(", {:g} a sequence of which {:g} are kept", point.decode.rows_per_sequence,
                            point.decode.kept_per_sequence);
      return text;
    }
    case Workload::Queued: break;
  }
  return fmt::format("{:.0f} requests of {:.0f} + {:.0f} tokens", point.queued.requests, point.queued.input_tokens,
                     point.queued.output_tokens);
}

std::vector<Point> read_points(std::string_view text, const std::string& file, Catalog& catalog) {
  const yaml::Node root = read_mapping(text, file);
  PointReader reader(file, catalog);
  reader.read(Section(root, file, "", {"points"}));
  return std::move(reader.points);
}

}  // namespace moemill::estimate
