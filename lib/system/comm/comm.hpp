// A group of ranks. Two transports behind one value type: MPI, and loopback (the threads of one process play the ranks,
// for tests and for one plain process without a launcher). All calls are collective over the group and in the same
// order on every rank, unless said otherwise. Every MPI return code is checked.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace moemill {

class Comm {
  struct Impl;

 public:
  // The world of MPI (MPI_Init_thread must have been done by MpiSession), or one rank alone.
  static Comm world();
  static Comm alone();

  int rank() const;
  int size() const;

  void barrier() const;
  // all has size() * mine.size() bytes, in rank order.
  void all_gather(std::span<const std::byte> mine, std::span<std::byte> all) const;
  // Root's bytes to everyone; the size may differ between calls and is sent along.
  std::vector<std::byte> broadcast(std::span<const std::byte> mine, int root) const;
  Comm split(int color, int key) const;
  // Ranks that share this one's node by what MPI reports (MPI_COMM_TYPE_SHARED); loopback: all of them.
  Comm split_by_node() const;

  // One number from each rank to each: send[r] goes to rank r.
  void all_to_all_counts(std::span<const std::uint32_t> send, std::span<std::uint32_t> receive) const;
  // Blocks of whole units (rows) of `unit_bytes`, in two halves. send_units[r] units for rank r lie one behind the
  // other in rank order, so do the received ones. Buffers must stay untouched until the wait, or a test that says true.
  // At most one Transfer a channel (0 or 1) is in flight. Ranks start the transfers of a channel in the same order, but
  // channels are independent of each other and of the calls above. Ranks with nothing to say to each other exchange no
  // message.
  class Transfer {
   public:
    Transfer() = default;  // of nothing: wait returns at once, test says true
    Transfer(Transfer&&) noexcept = default;
    Transfer& operator=(Transfer&&) noexcept = default;
    void wait();
    bool test();  // also makes progress; MPI moves nothing while nobody calls it

   private:
    friend class Comm;
    std::shared_ptr<Impl> group_;  // null: nothing in flight
    int channel_ = 0;
  };
  [[nodiscard]] Transfer start_all_to_all(const std::byte* send, std::span<const std::uint32_t> send_units,
                                          std::byte* receive, std::span<const std::uint32_t> receive_units,
                                          std::size_t unit_bytes, int channel) const;

  // Ends the whole job at once (MPI_Abort), from any thread, for what cannot be agreed on.
  [[noreturn]] void abort(int exit_code) const;

 private:
  explicit Comm(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
  std::shared_ptr<Impl> impl_;
  friend void run_loopback(int ranks, const std::function<void(Comm)>& body);
};

// One value of each rank, in rank order; collective.
template <class T>
std::vector<T> gather(const Comm& comm, const T& mine) {
  static_assert(std::is_trivially_copyable_v<T>, "values travel as their bytes");
  std::vector<T> all(static_cast<std::size_t>(comm.size()));
  comm.all_gather(std::as_bytes(std::span(&mine, 1)), std::as_writable_bytes(std::span(all)));
  return all;
}
// [mine.size()] sums over all ranks; collective, with equally many counts on each.
std::vector<std::uint64_t> sum_counts(const Comm& comm, std::span<const std::uint64_t> mine);

// Plays `ranks` ranks as threads of this process; rethrows the first exception after all have ended (a rank that throws
// makes the others' calls throw too).
void run_loopback(int ranks, const std::function<void(Comm)>& body);

// MPI from start to end of the program. Works without a launcher (one rank). Not finalized while unwinding, because
// that would wait for ranks that are not coming.
class MpiSession {
 public:
  MpiSession(int& argc, char**& argv);
  ~MpiSession();
  MpiSession(const MpiSession&) = delete;
  MpiSession& operator=(const MpiSession&) = delete;
  static std::string library_version();  // "Open MPI v4.1.4"
  // Whether this Open MPI is built with Slurm's PMI-1 or PMI-2, or Cray's. May be asked before the session.
  static bool speaks_pmi();
};

}  // namespace moemill
