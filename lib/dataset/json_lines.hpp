// A file of one JSON object a line that only grows: metrics.jsonl, attempts.jsonl; run.log has lines of text. A line is
// appended in one write, and one that a kill tore is ended before the next, so that readers lose no other line.
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
  void sync();  // what was appended is durable

 private:
  std::string path_;
  files::Descriptor file_;
};

// Calls visit for every line of the file that is an object: torn ones are passed over, and an absent file has none.
void for_each_object(const std::string& path, const std::function<void(nlohmann::json&)>& visit);

}  // namespace moemill::dataset
