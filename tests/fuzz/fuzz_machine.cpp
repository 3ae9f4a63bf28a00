// Any bytes as a file of `bench calibrate`: refused with a UserError, or a machine that is the same after writing and
// reading it.
#include <cstddef>
#include <cstdint>
#include <fstream>

#include "base/error.hpp"
#include "plan/machine.hpp"
#include "process_path.hpp"

namespace {

void write(const std::string& path, const char* bytes, std::size_t size) {
  std::ofstream(path, std::ios::binary).write(bytes, static_cast<std::streamsize>(size));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::string path = moemill::process_path("machine");
  write(path, reinterpret_cast<const char*>(data), size);
  try {
    const std::string text = to_json(moemill::mill::read_machine(path));
    write(path, text.data(), text.size());
    moemill::expect(to_json(moemill::mill::read_machine(path)) == text, "a machine is read as it is written");
  } catch (const moemill::UserError&) {
  }
  return 0;
}
