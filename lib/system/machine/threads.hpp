// A fixed team of threads inside one rank, for work split by rows, columns, heads or experts (never by k, so the
// split cannot change a bit). One thread (the usual setting: one rank per core) runs everything inline. Bodies run
// under FlushSubnormals.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>

namespace moemill {

class ThreadTeam {
 public:
  explicit ThreadTeam(int threads);  // threads >= 1; the caller is thread 0, and the constructor starts the rest
  ~ThreadTeam();
  ThreadTeam(const ThreadTeam&) = delete;
  ThreadTeam& operator=(const ThreadTeam&) = delete;

  int size() const;
  // Splits [0, count) into one contiguous range per thread, with bounds at multiples of `grain`, calls
  // body(begin, end, thread) for each and returns when all are done. `thread` numbers the range. The caller runs range
  // 0 and then the ranges whose threads have not begun, so that it never waits for a core that another program holds.
  // An exception from any range is rethrown here. Only one caller at a time, and no call from inside a body of this
  // team.
  template <class Body>
  void parallel_for(std::size_t count, std::size_t grain, const Body& body) {
    run(count, grain,
        std::cref(body));  // by reference, because std::function would allocate for a body of many captures
  }

 private:
  void run(std::size_t count, std::size_t grain,
           const std::function<void(std::size_t begin, std::size_t end, int thread)>& body);

  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace moemill
