// Checks the places outside a dataset's own file that its values come from: links, sources of virtual datasets, raw
// files. HDF5 treats a dangling link as absent and silently returns fill values for a missing source; here both are a
// UserError that names it. Used by PromptFile before it reads anything.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>

#include "system/files/h5.hpp"

namespace moemill::h5 {

// UserError if the link `name` exists and its target does not. `place` is the link's location in messages.
void refuse_dangling(hid_t parent, const std::string& name, const std::string& place);

// Whether a virtual dataset may have rows without a source: carried data may have its owner's fill value there, prompts
// and settings may not.
enum class UnmappedRows { MayBeFilled, Refused };

// Keeps the files that it has visited open, so that HDF5 does not run out of descriptors when it reads them later.
class SourceFiles {
 public:
  struct Chunks {
    std::uint64_t largest_bytes = 0;  // of an unpacked chunk, in the sources as well
    std::uint64_t files = 0;          // files that hold values of the dataset
  };
  // UserError if a source, or a source of a source, is missing or too small, or if values have no source.
  Chunks check(hid_t dataset, const std::string& place, UnmappedRows unmapped);

  // Size and modification time of every file that `check` visited, including the dataset's own: the text changes when
  // one of them is written to, through whatever name. It describes the open files, not files that have taken their
  // names.
  std::string stamp() const;

  // The rows that will be read from a dataset with one axis.
  struct Wanted {
    UnmappedRows unmapped = UnmappedRows::MayBeFilled;
    std::uint64_t first = 0, end = ~std::uint64_t{0};
  };

 private:
  struct Source;
  static Wanted rows_of(const Source& source, hid_t dataset);
  Chunks look(hid_t dataset, const std::string& place, const Wanted& wanted, int depth);
  void look_at(const Source& source, Chunks& found);
  void look_at_blocks(Source source, const std::string& file_name, const std::string& dataset_name, Chunks& found);
  const Handle* open(const std::string& from, const std::string& name);
  Handle find(const Source& source);
  void remember_file(hid_t dataset, const std::string& place);

  std::map<std::string, Handle> files_;  // by the path that opened them
  std::set<std::string> raw_files_;
};

}  // namespace moemill::h5
