// The loopback transport: threads of one process play the ranks and exchange copies of their messages through
// mailboxes. It serves tests and, with one rank, a plain process. Private to system/; comm.cpp picks it. It promises
// that nothing hangs: when a rank throws or returns early, every call that needs it throws.
#pragma once

#include <array>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

namespace moemill::loopback {

using Message = std::vector<std::byte>;

// State shared by all threads of a run. One lock and one signal serve all groups: threads are few, and this path need
// not be fast.
struct Job {
  explicit Job(int ranks) : ended(static_cast<std::size_t>(ranks), 0) {}
  std::mutex lock;
  std::condition_variable changed;
  std::vector<char> ended;  // [ranks] whether the rank has left its body
  std::exception_ptr first_failure;
};

constexpr std::size_t collective_lane = 2;  // lanes 0 and 1 are the transfer channels
constexpr std::size_t first_open_lane = 3;  // Comm's lanes
constexpr std::size_t open_lanes = 4;

struct Group {
  Group(std::shared_ptr<Job> job, std::vector<int> job_ranks);
  std::shared_ptr<Job> job;
  std::vector<int> job_ranks;  // [size]
  // [lane][source * size + destination]: messages not yet taken, oldest first
  std::array<std::vector<std::deque<Message>>, first_open_lane + open_lanes> mail;
  std::vector<std::deque<std::pair<int, Message>>> letters;  // [destination]: source and bytes, oldest first
  std::map<std::pair<std::uint64_t, int>, std::shared_ptr<Group>> children;  // by (which split, color)
};

// One rank of a group.
class Member {
 public:
  Member(std::shared_ptr<Group> group, int rank) : group_(std::move(group)), rank_(rank) {}

  int rank() const { return rank_; }
  int size() const { return static_cast<int>(group_->job_ranks.size()); }
  void barrier();
  void all_gather(std::span<const std::byte> mine, std::span<std::byte> all);
  std::vector<std::byte> broadcast(std::span<const std::byte> mine, int root);
  Member split(int color, int key);
  Member split_by_node() { return split(0, rank_); }

  void start(const std::byte* send, std::span<const std::uint32_t> send_units, std::byte* receive,
             std::span<const std::uint32_t> receive_units, std::size_t unit_bytes, int channel);
  bool test(int channel);
  void wait(int channel);
  void open_lane(int lane, std::size_t unit_bytes) { unit_bytes_[static_cast<std::size_t>(lane)] = unit_bytes; }
  void post_receive(int lane, int from, std::byte* to, std::uint32_t most_units);
  void post_send(int lane, int to, const std::byte* from, std::uint32_t units);
  bool test_receives(int lane);
  std::span<const std::uint32_t> units_received(int lane) const { return units_[static_cast<std::size_t>(lane)]; }
  bool test_sends(int) const { return true; }  // a message is in its receiver's mailbox at once
  void cancel_receives(int lane) noexcept { posted_[static_cast<std::size_t>(lane)].clear(); }
  void post(int to, Message letter);
  bool take_letter(int& from, Message& letter);
  std::size_t unsent_bytes() const { return 0; }  // a letter is in its receiver's mailbox at once
  [[noreturn]] void abort(int exit_code);

 private:
  struct Expected {
    int source;
    std::byte* to;
    std::size_t bytes;
  };
  std::deque<Message>& box(std::size_t lane, int source, int destination);
  void send(std::size_t lane, int destination, std::span<const std::byte> bytes);
  Message receive(std::size_t lane, int source);
  bool arrived(std::size_t lane, int source);
  void check_alive(int source) const;

  std::shared_ptr<Group> group_;
  int rank_;
  std::uint64_t splits_ = 0;
  std::array<std::vector<Expected>, 2> expected_;  // by channel: messages that the transfer in flight still waits for
  // By lane of Comm: receives that were posted, how many of them have come and with how many units.
  std::array<std::size_t, open_lanes> unit_bytes_{};
  std::array<std::vector<Expected>, open_lanes> posted_;
  std::array<std::vector<std::uint32_t>, open_lanes> units_;
};

// Starts `ranks` threads, each as one member of a new group, and rethrows the first failure when all have ended.
void run(int ranks, const std::function<void(Member)>& body);
Member alone();

}  // namespace moemill::loopback
