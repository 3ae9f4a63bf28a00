// The root attributes of a file of outputs: a line for each that the run names. Used by writer, form check and
// reopening.
#pragma once

#include <cstdint>
#include <string>

namespace moemill::dataset {

// Attributes that may differ between two runs with the same answers. The writer adds format, format_version,
// moemill_version, git_commit and, last, `complete`.
struct RootAttributes {
  std::string run_id;
  std::string created_utc;
  std::string config_yaml;
  std::string input_sha256;
  std::string model_sha256;
  std::string tokenizer_sha256;
  std::string backend;
  std::string dtype;
  std::int64_t world_size = 1;
  std::string slurm_job_id;   // "" outside Slurm
  std::string input_columns;  // dataset/prompts/contents.hpp; input_sha256 is its sum
  std::string arithmetic;     // base/arithmetic.hpp
};

enum class InFiles { Always, OfNewerVersions };
struct RootField {
  const char* name;
  std::string RootAttributes::*member;
  InFiles in = InFiles::Always;
};
inline constexpr RootField root_fields[] = {
    {"run_id", &RootAttributes::run_id},
    {"created_utc", &RootAttributes::created_utc},
    {"config_yaml", &RootAttributes::config_yaml},
    {"input_sha256", &RootAttributes::input_sha256},
    {"model_sha256", &RootAttributes::model_sha256},
    {"tokenizer_sha256", &RootAttributes::tokenizer_sha256},
    {"backend", &RootAttributes::backend},
    {"dtype", &RootAttributes::dtype},
    {"slurm_job_id", &RootAttributes::slurm_job_id},
    {"input_columns", &RootAttributes::input_columns, InFiles::OfNewerVersions},
    {"arithmetic", &RootAttributes::arithmetic, InFiles::OfNewerVersions},
};

}  // namespace moemill::dataset
