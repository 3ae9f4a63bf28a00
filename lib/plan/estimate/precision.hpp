// The formats that a step stores and computes in, with their bytes. Part of the question to the step model.
#pragma once

#include "plan/estimate/hardware.hpp"

namespace moemill::estimate {

// Weights and the rows that they are multiplied by. Mxfp4Fp8 and Mxfp4Bf16 are 4-bit weights whose rows have 8 and 16
// bits.
enum class Format { Bf16, Fp8, Int8, Fp4, Mxfp4Fp8, Mxfp4Bf16 };
enum class CacheFormat { Bf16, Fp8 };

struct Precision {
  Format weights = Format::Bf16;      // of routed, shared and dense MLPs
  Format projections = Format::Bf16;  // of attention
  CacheFormat cache = CacheFormat::Bf16;
};

// What a chip reaches in a format. UserError if it does not compute in it.
struct FormatRates {
  double flops = 0;                    // operations per second of large products
  double weight_bytes_per_second = 0;  // while weights stream from memory
};
FormatRates rates_of(Format format, const Hardware& hardware);
bool computes_in(Format format, const Hardware& hardware);

const char* name_of(Format format);
Words format_names();
// Of a weight with its share of the scales: fp4 has one byte per 16 values, mxfp4 one per 32. Scales of fp8 and int8
// are less than a thousandth and do not count.
double weight_bytes(Format format);
double row_bytes(Format format);  // of a value that travels to an expert
double cache_bytes(CacheFormat format);

// `fp8`, or {weights: fp8, projections: bf16, cache: fp8}. Without `projections` these are fp8 beside fp4 weights, bf16
// beside mxfp4, and else as the weights; without `cache` it is bf16.
Precision read_precision(const Section& section, std::string_view key);

}  // namespace moemill::estimate
