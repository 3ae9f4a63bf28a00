// The MPI transport: one communicator and its transfers in flight. Private to system/; comm.cpp picks it. Errors come
// back as return codes, and each becomes a SystemError that names the call and the rank.
#pragma once

#include <mpi.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace moemill::mpi {

// Throws SystemError unless `code` is MPI_SUCCESS; rank -1: not known yet.
void check(int code, const char* call, int rank);

// Move-only owner of a communicator. Transfers are plain sends and receives between the ranks that have something for
// each other: counts are known on both sides, so ranks without rows cost nothing, and channels (their tags) cannot
// block each other as collectives in flight would.
class Group {
 public:
  static Group world();  // a duplicate of MPI_COMM_WORLD
  explicit Group(MPI_Comm owned);
  ~Group();
  Group(Group&& other) noexcept;
  Group& operator=(Group&&) = delete;

  int rank() const { return rank_; }
  int size() const { return size_; }
  void barrier();
  void all_gather(std::span<const std::byte> mine, std::span<std::byte> all);
  std::vector<std::byte> broadcast(std::span<const std::byte> mine, int root);
  Group split(int color, int key);
  Group split_by_node();
  void all_to_all_counts(std::span<const std::uint32_t> send, std::span<std::uint32_t> receive);

  void start(const std::byte* send, std::span<const std::uint32_t> send_units, std::byte* receive,
             std::span<const std::uint32_t> receive_units, std::size_t unit_bytes, int channel);
  bool test(int channel);
  void wait(int channel);
  [[noreturn]] void abort(int exit_code);

 private:
  MPI_Comm comm_ = MPI_COMM_NULL;
  int rank_ = -1;
  int size_ = 0;
  std::array<std::vector<MPI_Request>, 2> in_flight_;  // by channel
};

}  // namespace moemill::mpi
