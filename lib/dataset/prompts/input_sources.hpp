// Where the columns of prompts.h5 really lie, looked at before anything is read. Used by PromptFile.
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
  // Every child of the group that `counts`, the members of packed columns included. UserError when one is a link that
  // leads nowhere, has a source that is missing, or leaves rows without any; of data (`is_data`) these may have a fill
  // value.
  void check(hid_t group, const ColumnPlace& place, const std::function<bool(const std::string&)>& counts,
             const std::function<bool(const std::string&)>& is_data);
  std::string stamp() const { return files_.stamp(); }  // of the files of all that was checked
  // What will be slow, one sentence a column.
  const std::vector<std::string>& warnings() const { return warnings_; }

 private:
  void check_dataset(hid_t dataset, const std::string& place, h5::UnmappedRows unmapped);

  h5::SourceFiles files_;
  std::vector<std::string> warnings_;
};

}  // namespace moemill::dataset
