// A file of one JSON object per line that only grows: metrics.jsonl, attempts.jsonl; run.log has lines of text. A line
// is appended in one write. A line that a kill has torn is ended before the next is written, so that readers lose only
// the torn line.
#pragma once

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "system/files/files.hpp"

namespace moemill::dataset {

class JsonLines {
 public:
  explicit JsonLines(std::string path);
  void append(std::string_view json_line);
  void sync();  // makes what was appended durable

 private:
  std::string path_;
  files::Descriptor file_;
};

// Calls visit for every line of the file that is an object. Torn lines are skipped; an absent file has no lines.
void for_each_object(const std::string& path, const std::function<void(nlohmann::json&)>& visit);

}  // namespace moemill::dataset
