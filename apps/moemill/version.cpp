#include <fmt/format.h>

#include "base/build_info.hpp"
#include "commands.hpp"
#include "generate/backend/backends.hpp"
#include "options.hpp"
#include "system/comm/comm.hpp"
#include "system/files/h5.hpp"
#include "text/regex/unicode_classes.hpp"

namespace moemill::app {

int version(const Words& words) {
  Options options(
      "moemill version",
      "Version, commit, compiler, libraries, and the kernel bodies that this CPU runs fastest and can run.");
  if (!options.parse(words)) return 0;
  std::string bodies;
  for (cpu::Isa isa : cpu::all_isas)
    if (cpu::available(isa)) bodies += fmt::format("{}{}", bodies.empty() ? "" : ", ", cpu::name(isa));
  fmt::print(
      "moemill {}\ncommit    {}\ncompiler  {} ({})\nMPI       {}\nHDF5      {}\nUnicode   {} (PCRE2 has {})\n"
      "backends  {}\nkernels   {} (of {}), int8 by {}\n",
      build_info::version(), build_info::git_commit(), build_info::compiler(), build_info::build_type(),
      MpiSession::library_version(), h5::library_version(), text::unicode_version, text::pcre_unicode_version(),
      build_info::backends(), cpu::name(mill::chosen_isa()), bodies, mill::int8_unit_name(mill::chosen_isa()));
  return 0;
}

}  // namespace moemill::app
