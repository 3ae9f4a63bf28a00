// Memory that the ranks of a node have in common: one mapping of a file without a name, so that nothing is left behind
// however a rank ends and no limit of /dev/shm applies. The weights lie in one, the rows that ranks work on together in
// another. A rank alone, or a rank whose mates cannot be shared with, has private memory behind the same functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "system/comm/comm.hpp"
#include "system/files/mapped_file.hpp"
#include "system/machine/process_id.hpp"

namespace moemill {

class NodeMemory {
 public:
  // What the ranks of a node make together.
  struct Attempt;
  static constexpr std::uint64_t block_bytes = std::uint64_t{2} << 20;  // a huge page of x86-64

  NodeMemory() = default;
  // Private, zeroed memory. SystemError that names `purpose` if the system refuses.
  NodeMemory(std::uint64_t bytes, const char* purpose, MappedMemory::Use use = MappedMemory::Use::All);
  // Memory of the ranks of `mates`, zeroed; collective over them. All ranks get it or none does.
  // `root` is prepended to /proc; tests replace it.
  static Attempt share(const Comm& mates, std::uint64_t bytes, const std::string& root = "");
  // The same for memory that all of them write all the time and of which only what is touched takes room. Ranks that
  // are threads of one process get one allocation, so that a thread sanitizer sees what they do to it.
  static Attempt share_workspace(const Comm& mates, std::uint64_t bytes);
  ~NodeMemory();
  NodeMemory(NodeMemory&& other) noexcept { swap(other); }
  NodeMemory& operator=(NodeMemory&& other) noexcept {
    swap(other);
    return *this;
  }

  std::byte* data() const { return data_; }
  std::uint64_t size() const { return size_; }
  bool is_shared() const { return file_ >= 0 || mates_.size() > 1; }
  // What the parts take that any of the ranks has touched; of shared memory.
  std::uint64_t touched_bytes() const;
  // The ranks that have this memory, this one included.
  std::span<const ProcessId> mates() const { return mates_; }

  // Shared memory is given its pages in blocks, by whichever rank and thread calls this for a block, before values are
  // put there: touching it would give small pages. Private memory has none of these blocks, but a hint to the kernel.
  std::uint64_t blocks() const { return file_ >= 0 ? size_ / block_bytes : 0; }
  // Returns whether the block lies on a huge page. SystemError if the node has no memory left.
  enum class Pages { Small, Huge };
  Pages make_block(std::uint64_t block) const;
  // From now on this rank only reads.
  void protect() const;

 private:
  void swap(NodeMemory& other) noexcept;
  void map(int file, std::uint64_t bytes);

  std::uint64_t size_ = 0;             // shared: whole blocks
  int file_ = -1;                      // -1: private
  std::shared_ptr<MappedMemory> own_;  // several owners: threads as ranks
  std::byte* data_ = nullptr;
  std::vector<ProcessId> mates_;
  std::vector<std::uint32_t> domains_;  // NUMA domains over which the blocks go round; one at most: no choice
};

struct NodeMemory::Attempt {
  NodeMemory memory;    // empty if it failed
  std::string why_not;  // the same on all ranks; "" if it did not fail
};

}  // namespace moemill
