// The MPI transport: one communicator and its transfers in flight. Private to system/; used by comm.cpp only. Each
// error code becomes a SystemError that names the call and the rank. This header does not include <mpi.h>, so that only
// mpi.cpp has to be compiled once for each MPI library.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace moemill::mpi {

// "Open MPI v4.1.4", from what the library says of itself: MPICH and its derivatives say "MPICH Version:      4.0.2".
inline std::string name_and_version(std::string line) {
  line = line.substr(0, line.find_first_of(",\n"));
  constexpr std::string_view label = " Version:";
  if (const auto at = line.find(label); at != std::string::npos) {
    const auto number = line.find_first_not_of(" \t", at + label.size());
    line = line.substr(0, at) + (number == std::string::npos ? "" : " " + line.substr(number));
  }
  while (!line.empty() && line.back() == '\0') line.pop_back();
  return line;
}

// Move-only owner of a communicator. Transfers are nonblocking sends and receives between ranks that have units for
// each other. Both sides know the counts, so two ranks without units for each other exchange no message. A channel is a
// message tag, so transfers on different channels cannot block each other, as collectives in flight could. Lanes
// and letters have tags of their own.
class Group {
 public:
  static Group world();  // a duplicate of MPI_COMM_WORLD
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

  void start(const std::byte* send, std::span<const std::uint32_t> send_units, std::byte* receive,
             std::span<const std::uint32_t> receive_units, std::size_t unit_bytes, int channel);
  bool test(int channel);
  void wait(int channel);
  void open_lane(int lane, std::size_t unit_bytes);
  void post_receive(int lane, int from, std::byte* to, std::uint32_t most_units);
  void post_send(int lane, int to, const std::byte* from, std::uint32_t units);
  bool test_receives(int lane);
  std::span<const std::uint32_t> units_received(int lane) const;
  bool test_sends(int lane);
  void cancel_receives(int lane) noexcept;
  void post(int to, std::vector<std::byte> letter);
  bool take_letter(int& from, std::vector<std::byte>& letter);
  std::size_t unsent_bytes();
  [[noreturn]] void abort(int exit_code);

 private:
  struct Handles;  // the communicator and its requests
  explicit Group(std::unique_ptr<Handles> owned);
  bool take_arrived(int& from, std::vector<std::byte>& letter);
  bool receive_next();

  std::unique_ptr<Handles> handles_;
  int rank_ = -1;
  int size_ = 0;
};

}  // namespace moemill::mpi
