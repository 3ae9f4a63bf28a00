// A library to preload: counts the MPI calls of one rank and its openings of files under one folder, which together
// fall into every stage of a job, and ends the process at one of them or makes that one fail. tests/torture/stages.py
// drives it. Environment:
//   STAGE_DIR   the folder (real path)
//   STAGE_RANK  only the process of this MPI rank
//   STAGE_LOG   file that gets a line "number call path" for every counted call; path is - for MPI calls
//   STAGE_AT    number of the call, from 1, at which STAGE_DO is done
//   STAGE_DO    kill: the process ends; fail: the call does nothing and returns MPI_ERR_OTHER, or -1 with EIO
//   STAGE_MARK  file that gets this call's line just before
#include <dlfcn.h>
#include <fcntl.h>
#include <mpi.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdlib>
#include <cstring>
#include <string>

namespace {

int create(const char* path) {
  return static_cast<int>(syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666));
}

struct Settings {
  std::string folder, kind, mark;
  long at = 0;
  int log = -1;

  Settings() {
    const char* dir = std::getenv("STAGE_DIR");
    const char* wanted = std::getenv("STAGE_RANK");
    const char* rank = std::getenv("OMPI_COMM_WORLD_RANK");
    if (!dir || !wanted || !rank || std::strcmp(wanted, rank) != 0) return;
    folder = std::string(dir) + "/";
    if (const char* text = std::getenv("STAGE_AT")) at = std::atol(text);
    if (const char* text = std::getenv("STAGE_DO")) kind = text;
    if (const char* text = std::getenv("STAGE_MARK")) mark = text;
    if (const char* path = std::getenv("STAGE_LOG")) log = create(path);
  }
};

const Settings& settings() {
  static const Settings* const once = new Settings;  // outlives calls at the end of the process
  return *once;
}

std::atomic<long> calls{0};

enum class Act { Pass, Fail };

Act decide(const char* call, const char* path) {
  const Settings& s = settings();
  if (s.folder.empty()) return Act::Pass;
  const long number = ++calls;
  const std::string line = std::to_string(number) + " " + call + " " + path + "\n";
  if (s.log >= 0) (void)!syscall(SYS_write, s.log, line.data(), line.size());
  if (number != s.at) return Act::Pass;
  (void)!syscall(SYS_write, create(s.mark.c_str()), line.data(), line.size());
  if (s.kind == "fail") return Act::Fail;
  kill(getpid(), SIGKILL);
  for (;;) pause();
}

template <class... Parameters, class... Arguments>
int mpi(int (*)(Parameters...), const char* name, Arguments... arguments) {
  auto real = reinterpret_cast<int (*)(Parameters...)>(dlsym(RTLD_NEXT, name));
  return decide(name, "-") == Act::Fail ? MPI_ERR_OTHER : real(arguments...);
}

bool inside(const char* path) {
  const std::string& folder = settings().folder;
  return !folder.empty() && std::strncmp(path, folder.c_str(), folder.size()) == 0;
}

int opened(const char* name, const char* path, int flags, mode_t mode) {
  auto real = reinterpret_cast<int (*)(const char*, int, ...)>(dlsym(RTLD_NEXT, name));
  if (!inside(path) || decide("open", path) == Act::Pass) return real(path, flags, mode);
  errno = EIO;
  return -1;
}

mode_t mode_of(int flags, va_list rest) { return (flags & O_CREAT) != 0 ? va_arg(rest, mode_t) : 0; }

}  // namespace

extern "C" {

int open(const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = mode_of(flags, rest);
  va_end(rest);
  return opened("open", path, flags, mode);
}

int open64(const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = mode_of(flags, rest);
  va_end(rest);
  return opened("open64", path, flags, mode);
}

int MPI_Init_thread(int* argc, char*** argv, int required, int* provided) {
  return mpi(MPI_Init_thread, "MPI_Init_thread", argc, argv, required, provided);
}
int MPI_Finalize(void) { return mpi(MPI_Finalize, "MPI_Finalize"); }
int MPI_Comm_dup(MPI_Comm comm, MPI_Comm* copy) { return mpi(MPI_Comm_dup, "MPI_Comm_dup", comm, copy); }
int MPI_Comm_split(MPI_Comm comm, int color, int key, MPI_Comm* part) {
  return mpi(MPI_Comm_split, "MPI_Comm_split", comm, color, key, part);
}
int MPI_Comm_split_type(MPI_Comm comm, int type, int key, MPI_Info info, MPI_Comm* part) {
  return mpi(MPI_Comm_split_type, "MPI_Comm_split_type", comm, type, key, info, part);
}
int MPI_Barrier(MPI_Comm comm) { return mpi(MPI_Barrier, "MPI_Barrier", comm); }
int MPI_Bcast(void* data, int count, MPI_Datatype type, int root, MPI_Comm comm) {
  return mpi(MPI_Bcast, "MPI_Bcast", data, count, type, root, comm);
}
int MPI_Allgather(const void* mine, int count, MPI_Datatype type, void* all, int each, MPI_Datatype its,
                  MPI_Comm comm) {
  return mpi(MPI_Allgather, "MPI_Allgather", mine, count, type, all, each, its, comm);
}
int MPI_Irecv(void* data, int count, MPI_Datatype type, int from, int tag, MPI_Comm comm, MPI_Request* request) {
  return mpi(MPI_Irecv, "MPI_Irecv", data, count, type, from, tag, comm, request);
}
int MPI_Isend(const void* data, int count, MPI_Datatype type, int to, int tag, MPI_Comm comm, MPI_Request* request) {
  return mpi(MPI_Isend, "MPI_Isend", data, count, type, to, tag, comm, request);
}
int MPI_Improbe(int from, int tag, MPI_Comm comm, int* there, MPI_Message* message, MPI_Status* status) {
  return mpi(MPI_Improbe, "MPI_Improbe", from, tag, comm, there, message, status);
}
int MPI_Imrecv(void* data, int count, MPI_Datatype type, MPI_Message* message, MPI_Request* request) {
  return mpi(MPI_Imrecv, "MPI_Imrecv", data, count, type, message, request);
}
int MPI_Waitall(int count, MPI_Request* requests, MPI_Status* statuses) {
  return mpi(MPI_Waitall, "MPI_Waitall", count, requests, statuses);
}

}  // extern "C"
