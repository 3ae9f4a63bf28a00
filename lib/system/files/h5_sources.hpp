// Where the values of a dataset come from when they are not in its own file: links, the sources of virtual datasets,
// raw files. HDF5 treats a link that leads nowhere as absent and hands out fill values for a source that is not there,
// without a word; here either is a UserError that names it. Used by PromptFile before it reads anything.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>

#include "system/files/h5.hpp"

namespace moemill::h5 {

// UserError when the link `name` is there and what it leads to is not. `place` says where it stands, for the message.
void refuse_dangling(hid_t parent, const std::string& name, const std::string& place);

// Rows of a virtual dataset that no source gives: data may have a fill value of its owner's choice in their place,
// prompts and settings not.
enum class UnmappedRows { MayBeFilled, Refused };

// Keeps the files that it has seen open, so that HDF5 does not run out of descriptors when it reads them later.
class SourceFiles {
 public:
  struct Chunks {
    std::uint64_t largest_bytes = 0;  // of an unpacked chunk, the sources' included
    std::uint64_t files = 0;          // that hold values of the dataset
  };
  // UserError where a source, or a source of a source, is missing, is too small, or leaves values without any.
  Chunks check(hid_t dataset, const std::string& place, UnmappedRows unmapped);

  // Size and time of the last change of every file that `check` met, the dataset's own included: another text when one
  // was written to since, through whatever name. The open files count, not others that took their names.
  std::string stamp() const;

  // The rows that are to be read from a dataset with one axis.
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

  std::map<std::string, Handle> files_;  // by the path that opened
  std::set<std::string> raw_files_;
};

}  // namespace moemill::h5
