#include "plan/estimate/precision.hpp"

#include <algorithm>

#include "base/error.hpp"

namespace moemill::estimate {
namespace {

struct FormatRow {
  Format format;
  const char* name;
  double weight_bytes, row_bytes;
  Format projections;  // beside such weights, if nothing else is said
  std::optional<double> Hardware::*peak;
  double Efficiencies::*tensor;
  double Efficiencies::*memory;
};

using H = Hardware;
using E = Efficiencies;
constexpr FormatRow format_rows[] = {
    {Format::Bf16, "bf16", 2, 2, Format::Bf16, &H::bf16_flops, &E::tensor_bf16, &E::memory},
    {Format::Fp8, "fp8", 1, 1, Format::Fp8, &H::fp8_flops, &E::tensor_fp8, &E::memory},
    {Format::Int8, "int8", 1, 1, Format::Int8, &H::int8_ops, &E::tensor_int8, &E::memory},
    {Format::Fp4, "fp4", 0.5 + 1.0 / 16, 0.5 + 1.0 / 16, Format::Fp8, &H::fp4_flops, &E::tensor_fp4, &E::memory},
    {Format::Mxfp4Fp8, "mxfp4-fp8", 0.5 + 1.0 / 32, 1, Format::Bf16, &H::fp8_flops, &E::tensor_mxfp4_fp8, &E::memory},
    {Format::Mxfp4Bf16, "mxfp4-bf16", 0.5 + 1.0 / 32, 2, Format::Bf16, &H::bf16_flops, &E::tensor_mxfp4_bf16,
     &E::memory_mxfp4_bf16},
};

const FormatRow& format_row(Format format) {
  return *std::find_if(std::begin(format_rows), std::end(format_rows),
                       [&](const FormatRow& row) { return row.format == format; });
}

Format read_format(const Section& section, std::string_view key) {
  const std::string name = section.word(key, format_names());
  return std::find_if(std::begin(format_rows), std::end(format_rows),
                      [&](const FormatRow& row) { return name == row.name; })
      ->format;
}

}  // namespace

Words format_names() {
  Words names;
  for (const FormatRow& row : format_rows) names.push_back(row.name);
  return names;
}

const char* name_of(Format format) { return format_row(format).name; }
double weight_bytes(Format format) { return format_row(format).weight_bytes; }
double row_bytes(Format format) { return format_row(format).row_bytes; }
double cache_bytes(CacheFormat format) { return format == CacheFormat::Fp8 ? 1 : 2; }

bool computes_in(Format format, const Hardware& hardware) { return (hardware.*format_row(format).peak).has_value(); }

FormatRates rates_of(Format format, const Hardware& hardware) {
  const FormatRow& row = format_row(format);
  const std::optional<double> peak = hardware.*row.peak;
  if (!peak)
    user_error("{} does not compute in {}: its peak_tflops lack the peak for it; plan it in a precision that it has",
               hardware.name, row.name);
  const Efficiencies& reached = hardware.efficiencies;
  return {*peak * reached.*row.tensor, hardware.memory_bytes_per_second * reached.*row.memory};
}

Precision read_precision(const Section& section, std::string_view key) {
  const yaml::Node* value = section.find(key);
  if (value && value->is_scalar()) {
    const Format weights = read_format(section, key);
    return {weights, format_row(weights).projections, CacheFormat::Bf16};
  }
  const Section parts = section.section(key, {"weights", "projections", "cache"});
  Precision precision;
  precision.weights = read_format(parts, "weights");
  precision.projections =
      parts.has("projections") ? read_format(parts, "projections") : format_row(precision.weights).projections;
  if (parts.has("cache") && parts.word("cache", {"bf16", "fp8"}) == "fp8") precision.cache = CacheFormat::Fp8;
  return precision;
}

}  // namespace moemill::estimate
