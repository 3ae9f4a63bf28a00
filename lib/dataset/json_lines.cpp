#include "dataset/json_lines.hpp"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <sstream>
#include <utility>

#include "base/error.hpp"
#include "base/text/json_values.hpp"

namespace moemill::dataset {

JsonLines::JsonLines(std::string path) : path_(std::move(path)), file_(files::open_to_append(path_)) {
  std::uint64_t size = files::size_bytes(path_);
  char last = '\n';
  if (size > 0 && ::pread(file_.fd(), &last, 1, static_cast<off_t>(size - 1)) != 1) {
    system_error("pread {}: {}", path_, std::strerror(errno));
  }
  if (last != '\n') files::write_all(file_.fd(), std::as_bytes(std::span("\n", 1)), path_);
}

void JsonLines::append(std::string_view json_line) {
  expect(json_line.find('\n') == std::string_view::npos, "json lines: one line at a time");
  std::string line(json_line);
  line += '\n';
  files::write_all(file_.fd(), std::as_bytes(std::span(line.data(), line.size())), path_);
}

void JsonLines::sync() { files::sync(file_.fd(), path_); }

void for_each_object(const std::string& path, const std::function<void(nlohmann::json&)>& visit) {
  if (const auto there = files::stamp(path); !there || !there->is_regular) return;  // a device may have no end
  std::istringstream lines(files::read_text(path).value_or(""));
  for (std::string line; std::getline(lines, line);) {
    if (auto object = parse_json_object(line)) visit(*object);
  }
}

}  // namespace moemill::dataset
