// Memory that the ranks of a node have in common: threads as ranks, which map it once each.
#include "system/files/node_memory.hpp"

#include <doctest/doctest.h>
#include <sys/resource.h>

#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>

#include "system/comm/comm.hpp"
#include "system/machine/memory.hpp"

using namespace moemill;

namespace {

constexpr std::uint64_t odd_bytes = 3 * NodeMemory::block_bytes - 100;

// The permissions of the mapping at an address, such as "rw-s".
std::string permissions(const void* address) {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    std::uintptr_t begin = 0, end = 0;
    char flags[5] = {};
    if (std::sscanf(line.c_str(), "%lx-%lx %4s", &begin, &end, flags) != 3) continue;
    if (begin <= reinterpret_cast<std::uintptr_t>(address) && reinterpret_cast<std::uintptr_t>(address) < end)
      return flags;
  }
  return "";
}

}  // namespace

TEST_CASE("node memory: what one rank writes, its mates read") {
  run_loopback(3, [](Comm world) {
    NodeMemory::Attempt attempt = NodeMemory::share(world, odd_bytes);
    REQUIRE(attempt.why_not == "");
    const NodeMemory memory = std::move(attempt.memory);
    REQUIRE(memory.is_shared());
    CHECK(memory.size() == 3 * NodeMemory::block_bytes);
    CHECK(memory.blocks() == 3);
    CHECK(memory.mates().size() == 3);
    CHECK(reinterpret_cast<std::uintptr_t>(memory.data()) % NodeMemory::block_bytes == 0);
    const auto mine = static_cast<std::uint64_t>(world.rank());
    const auto pages = memory.make_block(mine);
    world.barrier();
    std::byte* const place = memory.data() + mine * NodeMemory::block_bytes + 12345;
    CHECK(*place == std::byte{0});
    *place = std::byte(7 + mine);
    world.barrier();
    for (std::uint64_t r = 0; r < 3; ++r) CHECK(memory.data()[r * NodeMemory::block_bytes + 12345] == std::byte(7 + r));
    const MappingUse use = mapping_use(memory.data());
    CHECK(use.resident_bytes >= 3 * 4096);
    if (pages == NodeMemory::Pages::Huge) CHECK(use.huge_bytes >= NodeMemory::block_bytes);
    CHECK(permissions(memory.data()) == "rw-s");
    memory.protect();
    CHECK(permissions(memory.data()) == "r--s");
    world.barrier();
  });
}

TEST_CASE("node memory: if one rank cannot map it, none does, and all know why") {
  run_loopback(2, [](Comm world) {
    const NodeMemory::Attempt hidden = NodeMemory::share(world, odd_bytes, "/nowhere");
    CHECK_FALSE(hidden.memory.is_shared());
    CHECK(hidden.why_not.starts_with("open of /nowhere/proc/"));
    CHECK(hidden.why_not.ends_with("No such file or directory"));
    const NodeMemory::Attempt uneven =
        NodeMemory::share(world, static_cast<std::uint64_t>(world.rank() + 1) * NodeMemory::block_bytes);
    CHECK_FALSE(uneven.memory.is_shared());
    CHECK(uneven.why_not == "the ranks of this node see different models");
  });
}

TEST_CASE("node memory: a limit on the size of files is named") {
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);  // as in moemill
  const rlimit small{NodeMemory::block_bytes, before.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);
  run_loopback(2, [](Comm world) {
    const NodeMemory::Attempt attempt = NodeMemory::share(world, odd_bytes);
    CHECK_FALSE(attempt.memory.is_shared());
    CHECK(attempt.why_not == "ftruncate of a memory file: File too large, 6291456 bytes; ulimit -f is less");
  });
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &before) == 0);
  std::signal(SIGXFSZ, handler);
}

TEST_CASE("node memory: another file under the number that a mate has told is not taken for its memory") {
  run_loopback(2, [](Comm world) {
    // As in a container with process numbers of its own: the path leads to a different file.
    const std::filesystem::path root =
        std::filesystem::temp_directory_path() / ("moemill-node-memory-" + std::to_string(this_process().number));
    const std::filesystem::path folder = root / "proc" / std::to_string(this_process().number) / "fd";
    if (world.rank() == 0) {
      std::filesystem::create_directories(folder);
      for (int file = 0; file < 256; ++file) std::ofstream(folder / std::to_string(file)) << "another file";
    }
    world.barrier();
    const NodeMemory::Attempt attempt = NodeMemory::share(world, odd_bytes, root.string());
    CHECK_FALSE(attempt.memory.is_shared());
    CHECK(attempt.why_not.find("is not the memory of rank 0 of this node") != std::string::npos);
    world.barrier();
    if (world.rank() == 0) std::filesystem::remove_all(root);
  });
}

TEST_CASE("node memory: a rank alone has private memory behind the same functions") {
  NodeMemory memory(odd_bytes, "a test");
  CHECK_FALSE(memory.is_shared());
  CHECK(memory.blocks() == 0);
  CHECK(memory.mates().size() == 1);
  memory.data()[odd_bytes - 1] = std::byte{1};
  CHECK(mapping_use(memory.data()).resident_bytes > 0);
  memory.protect();
  CHECK(permissions(memory.data()) == "r--p");
  NodeMemory moved = std::move(memory);
  CHECK(moved.data()[odd_bytes - 1] == std::byte{1});
}

TEST_CASE("node memory: threads as ranks get one allocation to work in, of which only what is touched takes room") {
  run_loopback(3, [](Comm world) {
    constexpr std::uint64_t bytes = std::uint64_t{1} << 34;
    NodeMemory::Attempt attempt = NodeMemory::share_workspace(world, bytes);
    REQUIRE(attempt.why_not == "");
    const NodeMemory memory = std::move(attempt.memory);
    CHECK(memory.is_shared());
    CHECK(memory.blocks() == 0);
    CHECK(memory.mates().size() == 3);
    const auto addresses = gather(world, memory.data());
    for (const std::byte* other : addresses) CHECK(other == memory.data());
    memory.data()[bytes / 4 * static_cast<std::uint64_t>(world.rank() + 1) - 1] = std::byte{1};
    world.barrier();
    CHECK(memory.data()[bytes / 2 - 1] == std::byte{1});
    CHECK(memory.touched_bytes() >= 3 * 4096);
    CHECK(memory.touched_bytes() < bytes / 4);
    world.barrier();
  });
}
