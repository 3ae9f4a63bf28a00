#include "system/files/node_memory.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <random>

#include "base/error.hpp"
#include "base/numbers/rounding.hpp"
#include "base/readable.hpp"
#include "system/comm/agree.hpp"
#include "system/machine/memory.hpp"
#include "system/machine/numa.hpp"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25  // Linux 6.1; the C library's headers may be older than the kernel
#endif

namespace moemill {
namespace {

// What the rank that makes the file tells its mates.
struct Offer {
  ProcessId process;
  int file = -1;
  std::uint64_t device = 0, inode = 0;  // so that another process of that number is not taken for it
  std::uint64_t bytes = 0;
};

struct Outcome {
  std::string fault;  // "" if all went well
  int file = -1;
};

std::string fault_of(const char* call) { return fmt::format("{}: {}", call, std::strerror(errno)); }

Outcome make_file(std::uint64_t bytes, Offer& offer) {
  Outcome out;
  out.file = ::memfd_create("moemill", MFD_CLOEXEC);
  if (out.file < 0) return {fault_of("memfd_create"), -1};
  struct stat info {};
  if (::ftruncate(out.file, static_cast<off_t>(bytes)) != 0) {
    const char* const limit = errno == EFBIG ? "; ulimit -f is less" : "";
    out.fault = fmt::format("{}, {} bytes{}", fault_of("ftruncate of a memory file"), bytes, limit);
  }
  if (::fstat(out.file, &info) != 0) out.fault = fault_of("fstat of a memory file");
  offer = {this_process(), out.file, info.st_dev, info.st_ino, bytes};
  return out;
}

Outcome open_offer(const Offer& offer, const std::string& root, std::uint64_t bytes) {
  if (offer.bytes != bytes) return {"the ranks of this node see different models", -1};
  const std::string path = fmt::format("{}/proc/{}/fd/{}", root, offer.process.number, offer.file);
  Outcome out;
  out.file = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (out.file < 0) return {fault_of(("open of " + path).c_str()), -1};
  struct stat info {};
  if (::fstat(out.file, &info) != 0 || info.st_dev != offer.device || info.st_ino != offer.inode)
    out.fault = path + " is not the memory of rank 0 of this node: do the ranks run in different containers?";
  return out;
}

// The fault of the first rank that has one, on all of them.
std::string first_fault(const Comm& mates, const std::string& mine) {
  const std::vector<char> faults = gather(mates, static_cast<char>(mine.empty() ? 0 : 1));
  const auto first = std::find(faults.begin(), faults.end(), 1);
  return first == faults.end() ? "" : broadcast_text(mates, mine, static_cast<int>(first - faults.begin()));
}

// Whether the mates are threads of one process. Its number does not say so: in containers of their own several have the
// same one, and may have started at the same tick.
bool are_one_process(const Comm& mates) {
  static const std::array<std::uint32_t, 4> drawn = [] {
    std::random_device random;
    return std::array<std::uint32_t, 4>{random(), random(), random(), random()};
  }();
  const auto of_all = gather(mates, drawn);
  return std::all_of(of_all.begin(), of_all.end(), [](const auto& other) { return other == drawn; });
}

}  // namespace

NodeMemory::NodeMemory(std::uint64_t bytes, const char* purpose, MappedMemory::Use use)
    : size_(bytes),
      own_(std::make_shared<MappedMemory>(bytes, purpose, use)),
      data_(own_->data()),
      mates_{this_process()} {}

// Aligned to huge pages, without which the kernel maps none: reserves more and maps the file into the middle.
void NodeMemory::map(int file, std::uint64_t bytes) {
  const std::uint64_t reserved = bytes + block_bytes;
  void* room = ::mmap(nullptr, reserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (room == MAP_FAILED) system_error("mmap of {} bytes: {}", reserved, std::strerror(errno));
  auto* const begin = static_cast<std::byte*>(room);
  const std::uint64_t skipped = block_bytes - reinterpret_cast<std::uintptr_t>(begin) % block_bytes;
  std::byte* const at = begin + skipped % block_bytes;
  void* data = ::mmap(at, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file, 0);
  const int error = errno;
  if (data == MAP_FAILED) {
    ::munmap(room, reserved);
    system_error("mmap of {} bytes of a memory file: {}", bytes, std::strerror(error));
  }
  if (at > begin) ::munmap(begin, static_cast<std::size_t>(at - begin));
  if (at + bytes < begin + reserved) ::munmap(at + bytes, static_cast<std::size_t>(begin + reserved - (at + bytes)));
  data_ = at, size_ = bytes;
}

NodeMemory::Attempt NodeMemory::share(const Comm& mates, std::uint64_t bytes, const std::string& root) {
  bytes = round_up(bytes, block_bytes);
  NodeMemory memory;
  Offer offer;
  Outcome mine;
  if (mates.rank() == 0) mine = make_file(bytes, offer);
  std::memcpy(&offer, mates.broadcast(std::as_bytes(std::span(&offer, 1)), 0).data(), sizeof offer);
  if (mates.rank() > 0 && offer.file >= 0) mine = open_offer(offer, root, bytes);
  memory.file_ = mine.file;
  if (mine.fault.empty() && mine.file >= 0) {
    try {
      memory.map(mine.file, bytes);
    } catch (const SystemError& e) {
      mine.fault = e.what();
    }
  }
  memory.mates_ = gather(mates, this_process());
  memory.domains_ = numa_domains();
  const std::string fault = first_fault(mates, mine.fault);
  if (!fault.empty()) return {NodeMemory(), fault};
  return {std::move(memory), ""};
}

NodeMemory::Attempt NodeMemory::share_workspace(const Comm& mates, std::uint64_t bytes) {
  if (mates.size() == 1 || !are_one_process(mates)) return share(mates, bytes);
  const std::vector<ProcessId> processes = gather(mates, this_process());
  NodeMemory memory;
  if (mates.rank() == 0) memory = NodeMemory(bytes, "rows of the ranks of a node", MappedMemory::Use::Sparse);
  const std::shared_ptr<MappedMemory>* first = &memory.own_;
  std::memcpy(&first, mates.broadcast(std::as_bytes(std::span(&first, 1)), 0).data(), sizeof first);
  if (mates.rank() > 0) memory.own_ = *first;
  memory.size_ = bytes, memory.data_ = memory.own_->data(), memory.mates_ = processes;
  mates.barrier();  // rank 0's is read by all
  return {std::move(memory), ""};
}

std::uint64_t NodeMemory::touched_bytes() const {
  if (file_ < 0) return data_ == nullptr ? 0 : mapping_use(data_).resident_bytes;
  struct stat info {};
  if (::fstat(file_, &info) != 0) system_error("fstat of a memory file: {}", std::strerror(errno));
  return static_cast<std::uint64_t>(info.st_blocks) * 512;
}

NodeMemory::~NodeMemory() {
  if (file_ < 0) return;
  if (data_ != nullptr) ::munmap(data_, size_);
  ::close(file_);
}

void NodeMemory::swap(NodeMemory& other) noexcept {
  std::swap(size_, other.size_);
  std::swap(file_, other.file_);
  std::swap(own_, other.own_);
  std::swap(data_, other.data_);
  std::swap(mates_, other.mates_);
  std::swap(domains_, other.domains_);
}

// fallocate reports that memory is short, where touching it would end the process. A single small page is enough for
// the kernel to collapse the block around it, at the price of clearing it; a block that is full of small pages would be
// copied.
NodeMemory::Pages NodeMemory::make_block(std::uint64_t block) const {
  std::optional<PreferDomain> here;
  if (domains_.size() > 1) here.emplace(domain_of_block(block, domains_));
  const auto allocate = [&](std::uint64_t bytes) {
    int failed = 0;
    do {
      failed = ::fallocate(file_, 0, static_cast<off_t>(block * block_bytes), static_cast<off_t>(bytes));
    } while (failed != 0 && errno == EINTR);
    if (failed != 0)
      system_error("fallocate of {} bytes of the node's memory, {} in all: {}", bytes, size_, std::strerror(errno));
  };
  allocate(1);
  for (int tries = 0; tries < 8; ++tries) {
    if (::madvise(data_ + block * block_bytes, block_bytes, MADV_COLLAPSE) == 0) return Pages::Huge;
    if (errno != EAGAIN) break;  // EAGAIN: the kernel was using the page at this moment
  }
  allocate(block_bytes);
  return Pages::Small;
}

void NodeMemory::protect() const {
  if (data_ != nullptr && size_ > 0 && ::mprotect(data_, size_, PROT_READ) != 0)
    system_error("mprotect of {} bytes: {}", size_, std::strerror(errno));
}

}  // namespace moemill
