#include "mpi_watch.hpp"

#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>

namespace moemill::app {
namespace {

constexpr std::string_view gone =
    "moemill: error: this process ended while MPI was starting: either MPI ended it, and its own message is above, or "
    "it was killed from outside (a time or memory limit, a signal). If MPI ended it: a launcher starts one MPI "
    "program, so in a script that runs several, write mpirun or srun in front of each moemill, not in front of the "
    "script. Otherwise this launcher does not belong to the MPI that moemill is built with (moemill --version); under "
    "srun, a different --mpi may help (srun --mpi=list).\n";

// Uses only calls that are allowed in the forked child of a process with threads.
[[noreturn]] void watch(int from_parent) {
  char word = 0;
  ssize_t got = 0;
  do got = ::read(from_parent, &word, 1);
  while (got < 0 && errno == EINTR);
  if (got == 0) (void)!::write(STDERR_FILENO, gone.data(), gone.size());
  ::_exit(0);
}

}  // namespace

// If no child can be started (limits on processes or files), only MPI's own message is left.
MpiWatch::MpiWatch() {
  int ends[2];  // sockets, because writing to one whose reader was killed is an error, not a signal
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return;
  child_ = ::fork();
  if (child_ == 0) {
    ::close(ends[1]);
    watch(ends[0]);
  }
  ::close(ends[0]);
  to_child_ = ends[1];
}

MpiWatch::~MpiWatch() {
  if (to_child_ < 0) return;
  const char word = 'k';
  (void)::send(to_child_, &word, 1, MSG_NOSIGNAL);
  ::close(to_child_);
  while (child_ > 0 && ::waitpid(child_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

}  // namespace moemill::app
