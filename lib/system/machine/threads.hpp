// A fixed team of threads inside one rank, for work split by rows, columns, heads or experts (never by k, so the
// split cannot change a bit). One thread (the usual setting: one rank a core) runs everything inline.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>

namespace moemill {

class ThreadTeam {
 public:
  explicit ThreadTeam(int threads);  // threads >= 1; the caller is thread 0, the others are started here
  ~ThreadTeam();
  ThreadTeam(const ThreadTeam&) = delete;
  ThreadTeam& operator=(const ThreadTeam&) = delete;

  int size() const;
  // Calls body(begin, end, thread) so that [0, count) is covered once by contiguous ranges whose bounds are multiples
  // of `grain`; returns when all are done. `thread` numbers the range: the caller runs range 0, and those whose thread
  // has not begun when it is done with it, so that a core that other programs hold is not waited for. An exception from
  // any range is rethrown here. One caller at a time, and no call from inside a body of the same team.
  void parallel_for(std::size_t count, std::size_t grain,
                    const std::function<void(std::size_t begin, std::size_t end, int thread)>& body);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace moemill
