// A group of ranks. One value type stands for two transports: MPI, and loopback, where threads of one process play the
// ranks (for tests, and for one plain process without a launcher). Unless a comment says otherwise, every call is
// collective over the group, and all ranks make their calls in the same order. Every MPI return code is checked.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace moemill {

class Comm {
  struct Impl;

 public:
  // The world of MPI, which needs an MpiSession, or one rank alone.
  static Comm world();
  static Comm alone();

  int rank() const;
  int size() const;

  void barrier() const;
  // `all` has size() * mine.size() bytes, in rank order.
  void all_gather(std::span<const std::byte> mine, std::span<std::byte> all) const;
  // Sends root's bytes to all ranks, with their size, so that it may change from call to call.
  std::vector<std::byte> broadcast(std::span<const std::byte> mine, int root) const;
  Comm split(int color, int key) const;
  // The ranks on this rank's node, as MPI reports them (MPI_COMM_TYPE_SHARED); all ranks on loopback.
  Comm split_by_node() const;

  // Starts to exchange blocks of units (rows) of `unit_bytes`; the Transfer ends it. The send_units[r] units for rank r
  // follow those for rank r - 1, and the received units are ordered in the same way. Both buffers must stay untouched
  // until wait() returns or test() returns true. At most one Transfer per channel (0 or 1) is in flight. All ranks
  // start the transfers of a channel in the same order; channels are independent of each other and of the calls above.
  // Two ranks without units for each other exchange no message.
  class Transfer {
   public:
    Transfer() = default;  // empty: wait() returns immediately, test() returns true
    Transfer(Transfer&&) noexcept = default;
    Transfer& operator=(Transfer&&) noexcept = default;
    void wait();
    bool test();  // also makes progress: MPI moves data only during calls

   private:
    friend class Comm;
    std::shared_ptr<Impl> group_;  // shared, because a transfer may outlive its Comm; null: nothing in flight
    int channel_ = 0;
  };
  [[nodiscard]] Transfer start_all_to_all(const std::byte* send, std::span<const std::uint32_t> send_units,
                                          std::byte* receive, std::span<const std::uint32_t> receive_units,
                                          std::size_t unit_bytes, int channel) const;

  // Messages of a lane go between two ranks that both know when one is due, but only the sender knows its length. The
  // receiver says beforehand where the next one of a rank goes; messages of a rank arrive in the order in which they
  // were sent. Lanes are independent of each other and of all other calls, and these calls are not collective. A group
  // whose lanes are used serves one owner at a time: nobody else would know whose message arrives.
  static constexpr int lanes = 4;
  // Once, before the lane is used; the same on all ranks. A message is a number of units (rows).
  void open_lane(int lane, std::size_t unit_bytes) const;
  // Room for at most `most_units`; it must stay untouched until test_receives() has returned true. Receives are posted
  // together, when those before have arrived: no test_receives() in between.
  void post_receive(int lane, int from, std::byte* to, std::uint32_t most_units) const;
  // Returns immediately; `from` must stay as it is until test_sends() has returned true.
  void post_send(int lane, int to, const std::byte* from, std::uint32_t units) const;
  // Whether all messages that receives were posted for have arrived; also makes progress. From then until the next
  // post_receive of the lane, units_received has their lengths, in the order of the posts.
  bool test_receives(int lane) const;
  std::span<const std::uint32_t> units_received(int lane) const;
  bool test_sends(int lane) const;
  // Takes back the receives whose messages have not come.
  void cancel_receives(int lane) const noexcept;

  // Letters are messages of any length whose receiver does not know when they come, for the rare traffic beside the
  // steps. These calls are not collective, and independent of all others. Letters of one rank to another arrive in the
  // order in which they were posted. A letter is sent once: who ends while one is on its way loses it.
  struct Letter {
    int from = 0;
    std::vector<std::byte> bytes;
  };
  static constexpr std::size_t most_letter_bytes = std::size_t{1} << 30;
  // Returns immediately; the letter is kept until it has left.
  void post(int to, std::vector<std::byte> letter) const;
  // The next letter that has arrived, if there is one. Returns immediately, also if one is arriving.
  std::optional<Letter> next_letter() const;
  // Bytes of this rank's letters that have not left. Receivers make them leave by next_letter().
  std::size_t unsent_bytes() const;

  // Ends the whole job immediately (MPI_Abort), from any thread: for failures that ranks cannot agree on.
  [[noreturn]] void abort(int exit_code) const;

 private:
  explicit Comm(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
  std::shared_ptr<Impl> impl_;  // shared, because a Comm is copied like a value and MPI's group must be freed once
  friend void run_loopback(int ranks, const std::function<void(Comm)>& body);
};

// The ranks' values, in rank order; collective.
template <class T>
std::vector<T> gather(const Comm& comm, const T& mine) {
  static_assert(std::is_trivially_copyable_v<T>, "values travel as their bytes");
  std::vector<T> all(static_cast<std::size_t>(comm.size()));
  comm.all_gather(std::as_bytes(std::span(&mine, 1)), std::as_writable_bytes(std::span(all)));
  return all;
}
// [mine.size()] sums over all ranks; collective, with the same number of counts on each.
std::vector<std::uint64_t> sum_counts(const Comm& comm, std::span<const std::uint64_t> mine);

// Runs `body` on `ranks` threads of this process, one per rank. A rank that throws makes the others' calls throw too;
// the first exception is rethrown when all have ended.
void run_loopback(int ranks, const std::function<void(Comm)>& body);

// Initializes MPI and finalizes it at the end of the program; without a launcher there is one rank. An exception skips
// the finalization, which would wait for ranks that never arrive.
class MpiSession {
 public:
  MpiSession(int& argc, char**& argv);
  ~MpiSession();
  MpiSession(const MpiSession&) = delete;
  MpiSession& operator=(const MpiSession&) = delete;
  static std::string library_version();  // "Open MPI v4.1.4"
  // What MPI took to start in this process, which it does once; 0 without a session.
  static double starting_seconds() { return starting_seconds_; }
  // Whether this Open MPI is built with Slurm's PMI-1 or PMI-2, or Cray's. It may be called before the session starts.
  static bool speaks_pmi();

 private:
  static inline double starting_seconds_ = 0;  // of the process, as MPI itself is
};

}  // namespace moemill
