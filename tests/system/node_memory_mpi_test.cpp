// Memory in common between real processes.
#include <doctest/doctest.h>

#include <array>

#include "support/on_world.hpp"
#include "system/comm/node_wait.hpp"
#include "system/files/node_memory.hpp"

using namespace moemill;

TEST_CASE("MPI ranks: memory of a node, filled by all and seen by all") {
  test::on_world([](const Comm& world) {
    const Comm node = world.split_by_node();
    NodeMemory::Attempt attempt = NodeMemory::share(node, 4 * NodeMemory::block_bytes);
    REQUIRE(attempt.why_not == "");
    const NodeMemory memory = std::move(attempt.memory);
    auto& words = *reinterpret_cast<std::array<NodeWord, 2>*>(memory.data());
    const auto ranks = static_cast<std::uint64_t>(node.size()), rank = static_cast<std::uint64_t>(node.rank());
    for (std::uint64_t b = rank; b < memory.blocks(); b += ranks) {
      memory.make_block(b);
      memory.data()[(b + 1) * NodeMemory::block_bytes - 1] = std::byte(b + 1);
    }
    arrive(words[0]);
    wait_for(words[0], static_cast<std::uint32_t>(ranks), memory.mates());
    for (std::uint64_t b = 0; b < memory.blocks(); ++b)
      CHECK(memory.data()[(b + 1) * NodeMemory::block_bytes - 1] == std::byte(b + 1));
    arrive(words[1]);
    wait_for(words[1], static_cast<std::uint32_t>(ranks), memory.mates());
    memory.protect();
    CHECK(memory.mates().size() == ranks);
  });
}

TEST_CASE("MPI ranks: memory to work in takes room where it is touched") {
  test::on_world([](const Comm& world) {
    constexpr std::uint64_t bytes = std::uint64_t{1} << 34;
    const NodeMemory::Attempt attempt = NodeMemory::share_workspace(world.split_by_node(), bytes);
    REQUIRE(attempt.why_not == "");
    const NodeMemory& memory = attempt.memory;
    memory.data()[bytes - 1] = std::byte{7};
    world.barrier();
    CHECK(memory.data()[bytes - 1] == std::byte{7});
    CHECK(memory.touched_bytes() > 0);
    CHECK(memory.touched_bytes() <= NodeMemory::block_bytes);
  });
}
