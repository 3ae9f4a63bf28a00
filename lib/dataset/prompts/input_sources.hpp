// The files that the columns of prompts.h5 lead to, by links and virtual datasets. They are checked before anything is
// read. Used by PromptFile.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "dataset/prompts/columns.hpp"
#include "system/files/h5_sources.hpp"

namespace moemill::dataset {

class InputSources {
 public:
  // Checks every child of the group for which `counts` is true, and the members of packed columns. UserError for a link
  // that leads nowhere, a missing source, or rows without a source; carried data (`is_data`) may have a fill value for
  // these.
  void check(hid_t group, const ColumnPlace& place, const std::function<bool(const std::string&)>& counts,
             const std::function<bool(const std::string&)>& is_data);
  std::string stamp() const { return files_.stamp(); }  // of all files that the checked columns lead to
  // What will be slow, one sentence per column.
  const std::vector<std::string>& warnings() const { return warnings_; }

 private:
  void check_dataset(hid_t dataset, const std::string& place, h5::UnmappedRows unmapped);

  h5::SourceFiles files_;
  std::vector<std::string> warnings_;
};

}  // namespace moemill::dataset
