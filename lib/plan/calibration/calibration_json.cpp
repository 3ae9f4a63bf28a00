// The file of a calibration.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "model/json_object.hpp"
#include "plan/calibration/calibration.hpp"

namespace moemill::calibration {
namespace {

using model::JsonObject;
using nlohmann::json;
using nlohmann::ordered_json;

constexpr const char* format_name = "moemill-machine";
constexpr std::uint32_t format_version = 2;  // version 1 had no stages
constexpr std::uint64_t most_file_bytes = 1 << 20;
constexpr std::uint32_t most_count = 1 << 24;
constexpr double most_number = 1e24, most_seconds = 1e6, most_size = 1e12;
constexpr double least_size = 1, least_growth = 1.001;
constexpr std::size_t most_points = 64;

template <class Record, class Value>
struct Key {
  const char* name;
  Value Record::*member;
};
constexpr Key<ModelShape, std::uint32_t> shape_counts[] = {
    {"moe_layers", &ModelShape::moe_layers}, {"dense_layers", &ModelShape::dense_layers},
    {"hidden", &ModelShape::hidden},         {"vocabulary", &ModelShape::vocabulary},
    {"experts", &ModelShape::experts},       {"picks", &ModelShape::picks}};
constexpr Key<ModelShape, double> shape_numbers[] = {
    {"prompt_projection_parameters", &ModelShape::prompt_projections},
    {"generated_projection_parameters", &ModelShape::generated_projections},
    {"prompt_core_flops", &ModelShape::prompt_core_flops},
    {"generated_core_flops", &ModelShape::generated_core_flops},
    {"kv_width", &ModelShape::kv_width},
    {"expert_parameters", &ModelShape::expert},
    {"shared_expert_parameters", &ModelShape::shared_expert},
    {"dense_mlp_parameters", &ModelShape::dense_mlp}};

struct CurveKey {
  const char* name;
  const char* size;  // what its sizes are
  Curve Stages::*member;
};
constexpr CurveKey stage_curves[] = {{"prompt_projections", "rows", &Stages::prompt_projections},
                                     {"generated_projections", "rows", &Stages::generated_projections},
                                     {"small", "rows", &Stages::small},
                                     {"dense", "rows", &Stages::dense},
                                     {"shared", "rows", &Stages::shared},
                                     {"expert", "rows", &Stages::expert},
                                     {"dispatch", "rows", &Stages::dispatch},
                                     {"combine", "rows", &Stages::combine},
                                     {"outside", "rows", &Stages::outside},
                                     {"generated_core", "rows", &Stages::generated_core},
                                     {"generated_core_row", "context", &Stages::generated_by_context},
                                     {"prompt_core_row", "context", &Stages::prompt_by_context},
                                     {"head", "rows", &Stages::head}};

constexpr Key<Calibration, std::optional<double>> rates[] = {
    {"load_bytes_per_second", &Calibration::load_bytes_per_second},
    {"tokenize_bytes_per_second", &Calibration::tokenize_bytes_per_second},
    {"shard_bytes_per_second", &Calibration::shard_bytes_per_second}};

ordered_json json_of(const Curve& curve, const char* size) {
  ordered_json out;
  for (const Curve::Point& point : curve.points()) {
    out[size].push_back(point.size);
    out["seconds"].push_back(point.seconds);
  }
  return out;
}

ordered_json json_of(const ModelShape& shape) {
  ordered_json out{{"model_type", shape.model_type}};
  for (const auto& key : shape_counts) out[key.name] = shape.*key.member;
  for (const auto& key : shape_numbers) out[key.name] = shape.*key.member;
  return out;
}

ordered_json json_of(const Stages& stages) {
  ordered_json out{{"micro_batches", stages.micro_batches}, {"share_on_core", stages.share_on_core}};
  for (const CurveKey& key : stage_curves) out[key.name] = json_of(stages.*key.member, key.size);
  return out;
}

ordered_json json_of(const std::optional<Curve>& messages) {
  return messages ? json_of(*messages, "bytes") : ordered_json(nullptr);
}

std::vector<double> read_numbers(const JsonObject& object, const char* key, double most) {
  const std::string accepted = fmt::format("a list of 1 to {} numbers from 0 to {}", most_points, most);
  const auto found = object.json().find(key);
  if (found == object.json().end() || !found->is_array() || found->empty() || found->size() > most_points)
    object.refuse(key, accepted);
  std::vector<double> out;
  for (const json& value : *found) {
    if (!value.is_number() || !(value.get<double>() >= 0 && value.get<double>() <= most)) object.refuse(key, accepted);
    out.push_back(value.get<double>());
  }
  return out;
}

Curve read_curve(const JsonObject& object, const char* size) {
  const std::vector<double> sizes = read_numbers(object, size, most_size);
  const std::vector<double> seconds = read_numbers(object, "seconds", most_seconds);
  if (seconds.size() != sizes.size())
    object.refuse("seconds", fmt::format("a list of {} numbers, one for each of \"{}\"", sizes.size(), size));
  std::vector<Curve::Point> points;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    // Sizes are rows, positions or bytes. Two that hardly differ would make a slope of any steepness.
    if (sizes[i] > 0 && sizes[i] < least_size) object.refuse(size, "0, or numbers from 1 on");
    if (i > 0 && sizes[i] <= sizes[i - 1] * least_growth) object.refuse(size, "numbers that ascend by 0.1 % or more");
    points.push_back({sizes[i], seconds[i]});
  }
  return Curve(std::move(points));
}

std::optional<Curve> read_messages(const JsonObject& object, const char* key) {
  if (!object.has(key)) return std::nullopt;
  return read_curve(object.object(key), "bytes");
}

ModelShape read_shape(const JsonObject& object) {
  ModelShape shape;
  shape.model_type = object.text("model_type");
  for (const auto& key : shape_counts) shape.*key.member = object.integer(key.name, 0, most_count);
  for (const auto& key : shape_numbers) {
    shape.*key.member = object.number(key.name, 0, most_number);
    // Seconds are multiplied by ratios of these.
    if (const double number = shape.*key.member; number > 0 && number < 1)
      object.refuse(key.name, "0, or a number from 1 on");
  }
  if (shape.hidden == 0 || shape.vocabulary == 0) object.refuse(shape.hidden == 0 ? "hidden" : "vocabulary", "above 0");
  if (shape.moe_layers + shape.dense_layers == 0) object.refuse("moe_layers", "the number of layers with experts");
  if (shape.picks > shape.experts) object.refuse("picks", "at most the number of experts");
  if (shape.moe_layers > 0 && shape.picks == 0) object.refuse("picks", "at least 1 where layers have experts");
  return shape;
}

Stages read_stages(const JsonObject& object) {
  Stages stages;
  stages.micro_batches = object.integer("micro_batches", 1, 2);
  stages.share_on_core = object.number("share_on_core", 0, 1);
  for (const CurveKey& key : stage_curves) stages.*key.member = read_curve(object.object(key.name), key.size);
  return stages;
}

std::vector<Stages> read_all_stages(const JsonObject& object) {
  constexpr const char* accepted = "a list of one or two objects, of 1 and of 2 micro-batches";
  const auto found = object.json().find("stages");
  if (found == object.json().end() || !found->is_array() || found->empty() || found->size() > 2)
    object.refuse("stages", accepted);
  std::vector<Stages> all;
  for (std::size_t i = 0; i < found->size(); ++i) {
    if (!(*found)[i].is_object()) object.refuse("stages", accepted);
    all.push_back(read_stages(JsonObject(object.file(), fmt::format("stages[{}].", i), (*found)[i])));
  }
  if (all.size() == 2 && all[0].micro_batches == all[1].micro_batches) object.refuse("stages", accepted);
  return all;
}

Arithmetic read_arithmetic(const JsonObject& object) {
  const std::string word = object.text("arithmetic");
  for (const Arithmetic arithmetic : all_arithmetics)
    if (word == word_of(arithmetic)) return arithmetic;
  object.refuse("arithmetic", "bf16 or int8");
}

void check_format(const JsonObject& object) {
  if (object.text_or("format", "") != format_name)
    user_error("{}: is no calibration: \"format\" must be \"{}\"", object.file(), format_name);
  if (const auto found = object.json().find("format_version"); found != object.json().end() && *found != format_version)
    object.refuse("format_version", fmt::format("{}: another version of moemill has written the file", format_version));
  (void)object.integer("format_version", format_version, format_version);
}

Calibration read_object(const JsonObject& object) {
  check_format(object);
  Calibration c;
  c.machine = mill::read_machine(object);
  c.mpi = object.text("mpi");
  c.ranks = object.integer("ranks", 1, most_count);
  c.arithmetic = read_arithmetic(object);
  c.model = object.text("model");
  c.shape = read_shape(object.object("shape"));
  c.measured_layers = object.integer("measured_layers", 1, most_count);
  c.measured_experts = object.integer("measured_experts", 0, most_count);
  c.stages = read_all_stages(object);
  const JsonObject drawing = object.object("drawing_seconds_a_row");
  for (std::size_t i = 0; i < drawings; ++i)
    c.drawing_seconds_a_row[i] = drawing.number(name_of(static_cast<Drawing>(i)), 0, most_seconds);
  c.agreeing_seconds = object.number("agreeing_seconds", 0, most_seconds);
  c.start_seconds = object.number_or("start_seconds", 0, 0, most_seconds);  // earlier files have none
  c.messages = {read_messages(object, "messages_within_node"), read_messages(object, "messages_between_nodes")};
  for (const auto& key : rates)
    if (object.has(key.name)) c.*key.member = object.number(key.name, 1, most_number);
  return c;
}

}  // namespace

std::string to_json(const Calibration& c) {
  ordered_json out{{"format", format_name}, {"format_version", format_version}};
  out.update(json_of(c.machine));
  out["mpi"] = c.mpi;
  out["ranks"] = c.ranks;
  out["arithmetic"] = word_of(c.arithmetic);
  out["model"] = c.model;
  out["shape"] = json_of(c.shape);
  out["measured_layers"] = c.measured_layers;
  out["measured_experts"] = c.measured_experts;
  for (const Stages& stages : c.stages) out["stages"].push_back(json_of(stages));
  for (std::size_t i = 0; i < drawings; ++i)
    out["drawing_seconds_a_row"][name_of(static_cast<Drawing>(i))] = c.drawing_seconds_a_row[i];
  out["agreeing_seconds"] = c.agreeing_seconds;
  out["start_seconds"] = c.start_seconds;
  out["messages_within_node"] = json_of(c.messages.within_node);
  out["messages_between_nodes"] = json_of(c.messages.between_nodes);
  for (const auto& key : rates) out[key.name] = c.*key.member ? ordered_json(*(c.*key.member)) : ordered_json(nullptr);
  return out.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

Calibration read_calibration(const std::string& path) {
  try {
    return read_object(JsonObject::read(path, most_file_bytes));
  } catch (const UserError& e) {
    user_error("{}; `moemill bench calibrate -o FILE`, under the job's mpirun, writes a calibration", e.what());
  }
}

}  // namespace moemill::calibration
