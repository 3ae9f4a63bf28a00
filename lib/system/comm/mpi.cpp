#include "system/comm/mpi.hpp"

#include <mpi.h>

#include <algorithm>
#include <array>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <list>
#include <new>
#include <string>
#include <string_view>
#include <utility>

#include "base/clock.hpp"
#include "base/error.hpp"
#include "system/comm/comm.hpp"

namespace moemill {
namespace mpi {
namespace {

// MPI counts a message in an int; longer blocks are sent in pieces of whole units near this size.
constexpr std::size_t piece_bytes = std::size_t{1} << 30;

int byte_count(std::size_t bytes, const char* what) {
  expect(bytes <= static_cast<std::size_t>(INT_MAX), what);
  return static_cast<int>(bytes);
}

// Calls piece(data, bytes) for each piece of a block of `units`; both sides cut it in the same way.
template <class Byte, class Piece>
void in_pieces(Byte* data, std::size_t units, std::size_t unit_bytes, Piece&& piece) {
  std::size_t piece_units = std::max<std::size_t>(1, piece_bytes / unit_bytes);
  while (units > 0) {
    std::size_t now = std::min(units, piece_units);
    piece(data, byte_count(now * unit_bytes, "a unit is shorter than 2 GiB"));
    data += now * unit_bytes;
    units -= now;
  }
}

// Throws SystemError unless `code` is MPI_SUCCESS. A rank of -1 is not known yet.
void check(int code, const char* call, int rank) {
  if (code == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING] = "";
  int length = 0, ready = 0;
  MPI_Initialized(&ready);  // before that, asking for the text would end the process
  if (!ready || MPI_Error_string(code, text, &length) != MPI_SUCCESS) length = 0;
  system_error("{} on rank {}: {} (code {})", call, rank, std::string(text, static_cast<std::size_t>(length)), code);
}

// Tags 0 and 1 are the channels of transfers.
constexpr int letter_tag = 2;
constexpr int first_lane_tag = 3;

// Messages of one lane. Their length in bytes may be more than an int holds, their number of units is not.
struct Lane {
  MPI_Datatype unit = MPI_DATATYPE_NULL;
  std::vector<MPI_Request> receives, sends;
  std::vector<MPI_Status> statuses;
  std::vector<std::uint32_t> received;  // units of each message, once all have arrived
};

struct Posted {
  std::vector<std::byte> bytes;
  MPI_Request request = MPI_REQUEST_NULL;
};

// A letter whose sender may be in the middle of a step: a long one arrives only while both sides call MPI.
struct Arriving {
  int from = 0;
  std::vector<std::byte> bytes = {};
  MPI_Request request = MPI_REQUEST_NULL;
};
// Above this, no further letter begins to arrive: the rest stays with its senders.
constexpr std::size_t most_arriving_bytes = std::size_t{64} << 20;

}  // namespace

struct Group::Handles {
  MPI_Comm comm = MPI_COMM_NULL;
  std::array<std::vector<MPI_Request>, 2> in_flight = {};  // by channel
  std::list<Posted> letters = {};                          // that have not left
  std::list<Arriving> arriving = {};                       // oldest first
  std::array<Lane, Comm::lanes> lanes = {};
};

Group Group::world() {
  auto copy = std::make_unique<Handles>();
  check(MPI_Comm_dup(MPI_COMM_WORLD, &copy->comm), "MPI_Comm_dup", -1);
  return Group(std::move(copy));
}

Group::Group(std::unique_ptr<Handles> owned) : handles_(std::move(owned)) {
  check(MPI_Comm_set_errhandler(handles_->comm, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler", -1);
  check(MPI_Comm_rank(handles_->comm, &rank_), "MPI_Comm_rank", -1);
  check(MPI_Comm_size(handles_->comm, &size_), "MPI_Comm_size", rank_);
  for (auto& requests : handles_->in_flight) requests.reserve(2 * static_cast<std::size_t>(size_));
}

Group::Group(Group&& other) noexcept = default;

Group::~Group() {
  if (!handles_) return;
  if (std::uncaught_exceptions() > 0 || !handles_->letters.empty() || !handles_->arriving.empty()) {
    // Freeing is collective, which an exception on one rank rules out. MPI may still use the letters on their way.
    (void)handles_.release();
    return;
  }
  int finalized = 0;
  if (MPI_Finalized(&finalized) != MPI_SUCCESS || finalized) return;
  for (Lane& lane : handles_->lanes)
    if (lane.unit != MPI_DATATYPE_NULL) MPI_Type_free(&lane.unit);
  MPI_Comm_free(&handles_->comm);
}

void Group::barrier() { check(MPI_Barrier(handles_->comm), "MPI_Barrier", rank_); }

void Group::all_gather(std::span<const std::byte> mine, std::span<std::byte> all) {
  expect(all.size() == mine.size() * static_cast<std::size_t>(size_),
         "all_gather: `all` has room for every rank's bytes");
  int bytes = byte_count(mine.size(), "all_gather: below 2 GiB per rank");
  check(MPI_Allgather(mine.data(), bytes, MPI_BYTE, all.data(), bytes, MPI_BYTE, handles_->comm), "MPI_Allgather",
        rank_);
}

std::vector<std::byte> Group::broadcast(std::span<const std::byte> mine, int root) {
  std::uint64_t bytes = mine.size();
  check(MPI_Bcast(&bytes, 1, MPI_UINT64_T, root, handles_->comm), "MPI_Bcast", rank_);
  std::vector<std::byte> data(bytes);
  if (rank_ == root) std::copy(mine.begin(), mine.end(), data.begin());
  in_pieces(data.data(), data.size(), 1, [&](std::byte* piece, int count) {
    check(MPI_Bcast(piece, count, MPI_BYTE, root, handles_->comm), "MPI_Bcast", rank_);
  });
  return data;
}

Group Group::split(int color, int key) {
  auto part = std::make_unique<Handles>();
  check(MPI_Comm_split(handles_->comm, color, key, &part->comm), "MPI_Comm_split", rank_);
  return Group(std::move(part));
}

Group Group::split_by_node() {
  auto node = std::make_unique<Handles>();
  check(MPI_Comm_split_type(handles_->comm, MPI_COMM_TYPE_SHARED, rank_, MPI_INFO_NULL, &node->comm),
        "MPI_Comm_split_type", rank_);
  return Group(std::move(node));
}

void Group::start(const std::byte* send, std::span<const std::uint32_t> send_units, std::byte* receive,
                  std::span<const std::uint32_t> receive_units, std::size_t unit_bytes, int channel) {
  auto& requests = handles_->in_flight[static_cast<std::size_t>(channel)];
  expect(requests.empty(), "start_all_to_all: at most one transfer per channel is in flight");
  // Receives are posted before any send, so that each message can be delivered immediately.
  std::byte* my_place = nullptr;
  for (int r = 0; r < size_; ++r) {
    std::size_t units = receive_units[static_cast<std::size_t>(r)];
    if (r == rank_)
      my_place = receive;
    else
      in_pieces(receive, units, unit_bytes, [&](std::byte* piece, int count) {
        check(MPI_Irecv(piece, count, MPI_BYTE, r, channel, handles_->comm, &requests.emplace_back()), "MPI_Irecv",
              rank_);
      });
    receive += units * unit_bytes;
  }
  for (int r = 0; r < size_; ++r) {
    std::size_t units = send_units[static_cast<std::size_t>(r)];
    if (r == rank_) {
      if (units > 0) std::memcpy(my_place, send, units * unit_bytes);
    } else {
      in_pieces(send, units, unit_bytes, [&](const std::byte* piece, int count) {
        check(MPI_Isend(piece, count, MPI_BYTE, r, channel, handles_->comm, &requests.emplace_back()), "MPI_Isend",
              rank_);
      });
    }
    send += units * unit_bytes;
  }
}

bool Group::test(int channel) {
  auto& requests = handles_->in_flight[static_cast<std::size_t>(channel)];
  if (requests.empty()) return true;
  int done = 0;
  check(MPI_Testall(static_cast<int>(requests.size()), requests.data(), &done, MPI_STATUSES_IGNORE), "MPI_Testall",
        rank_);
  if (done) requests.clear();
  return done != 0;
}

void Group::wait(int channel) {
  auto& requests = handles_->in_flight[static_cast<std::size_t>(channel)];
  if (requests.empty()) return;
  check(MPI_Waitall(static_cast<int>(requests.size()), requests.data(), MPI_STATUSES_IGNORE), "MPI_Waitall", rank_);
  requests.clear();
}

void Group::open_lane(int lane, std::size_t unit_bytes) {
  Lane& l = handles_->lanes[static_cast<std::size_t>(lane)];
  expect(l.unit == MPI_DATATYPE_NULL, "open_lane: once");
  check(MPI_Type_contiguous(byte_count(unit_bytes, "a unit is shorter than 2 GiB"), MPI_BYTE, &l.unit),
        "MPI_Type_contiguous", rank_);
  check(MPI_Type_commit(&l.unit), "MPI_Type_commit", rank_);
}

void Group::post_receive(int lane, int from, std::byte* to, std::uint32_t most_units) {
  Lane& l = handles_->lanes[static_cast<std::size_t>(lane)];
  if (!l.received.empty()) l.receives.clear(), l.received.clear();  // those before have come
  check(MPI_Irecv(to, byte_count(most_units, "a message has fewer than 2^31 units"), l.unit, from,
                  first_lane_tag + lane, handles_->comm, &l.receives.emplace_back(MPI_REQUEST_NULL)),
        "MPI_Irecv", rank_);
}

void Group::post_send(int lane, int to, const std::byte* from, std::uint32_t units) {
  Lane& l = handles_->lanes[static_cast<std::size_t>(lane)];
  check(MPI_Isend(from, byte_count(units, "a message has fewer than 2^31 units"), l.unit, to, first_lane_tag + lane,
                  handles_->comm, &l.sends.emplace_back(MPI_REQUEST_NULL)),
        "MPI_Isend", rank_);
}

bool Group::test_receives(int lane) {
  Lane& l = handles_->lanes[static_cast<std::size_t>(lane)];
  if (l.received.size() == l.receives.size()) return true;
  l.statuses.resize(l.receives.size());
  int done = 0;
  check(MPI_Testall(static_cast<int>(l.receives.size()), l.receives.data(), &done, l.statuses.data()), "MPI_Testall",
        rank_);
  if (!done) return false;
  for (const MPI_Status& status : l.statuses) {
    int units = 0;
    check(MPI_Get_count(&status, l.unit, &units), "MPI_Get_count", rank_);
    expect(units != MPI_UNDEFINED, "lane: a message has whole units");
    l.received.push_back(static_cast<std::uint32_t>(units));
  }
  return true;
}

std::span<const std::uint32_t> Group::units_received(int lane) const {
  return handles_->lanes[static_cast<std::size_t>(lane)].received;
}

bool Group::test_sends(int lane) {
  Lane& l = handles_->lanes[static_cast<std::size_t>(lane)];
  if (l.sends.empty()) return true;
  int done = 0;
  check(MPI_Testall(static_cast<int>(l.sends.size()), l.sends.data(), &done, MPI_STATUSES_IGNORE), "MPI_Testall",
        rank_);
  if (done) l.sends.clear();
  return done != 0;
}

void Group::cancel_receives(int lane) noexcept {
  Lane& l = handles_->lanes[static_cast<std::size_t>(lane)];
  if (l.received.size() == l.receives.size()) return;
  for (MPI_Request& receive : l.receives) {
    if (receive == MPI_REQUEST_NULL) continue;
    MPI_Cancel(&receive);
    MPI_Wait(&receive, MPI_STATUS_IGNORE);
  }
  l.receives.clear();
}

void Group::post(int to, std::vector<std::byte> letter) {
  unsent_bytes();  // lets go of those that have left
  Posted& posted = handles_->letters.emplace_back(Posted{std::move(letter)});
  const int code = MPI_Isend(posted.bytes.data(), byte_count(posted.bytes.size(), "a letter is shorter than 2 GiB"),
                             MPI_BYTE, to, letter_tag, handles_->comm, &posted.request);
  if (code != MPI_SUCCESS) handles_->letters.pop_back();
  check(code, "MPI_Isend", rank_);
}

bool Group::take_letter(int& from, std::vector<std::byte>& letter) {
  do {
    if (take_arrived(from, letter)) return true;
  } while (receive_next());
  return false;
}

// The oldest letter that is complete and that no older one of its sender has to come before.
bool Group::take_arrived(int& from, std::vector<std::byte>& letter) {
  std::vector<int> late;  // senders
  auto& arriving = handles_->arriving;
  for (auto next = arriving.begin(); next != arriving.end(); ++next) {
    if (std::find(late.begin(), late.end(), next->from) != late.end()) continue;
    int done = 0;
    const int code = MPI_Test(&next->request, &done, MPI_STATUS_IGNORE);
    if (code == MPI_SUCCESS && !done) {
      late.push_back(next->from);
      continue;
    }
    from = next->from;
    letter = std::move(next->bytes);
    arriving.erase(next);
    check(code, "MPI_Test", rank_);
    return true;
  }
  return false;
}

// Begins to receive the next letter; returns false if there is none.
bool Group::receive_next() {
  auto& arriving = handles_->arriving;
  std::size_t under_way = 0;
  for (const Arriving& one : arriving) under_way += one.bytes.size();
  if (under_way > most_arriving_bytes) return false;
  int there = 0, bytes = 0;
  MPI_Message message = MPI_MESSAGE_NULL;
  MPI_Status status;
  check(MPI_Improbe(MPI_ANY_SOURCE, letter_tag, handles_->comm, &there, &message, &status), "MPI_Improbe", rank_);
  if (!there) return false;
  check(MPI_Get_count(&status, MPI_BYTE, &bytes), "MPI_Get_count", rank_);
  Arriving& letter = arriving.emplace_back(Arriving{status.MPI_SOURCE});
  try {
    letter.bytes.resize(static_cast<std::size_t>(bytes));
  } catch (const std::bad_alloc&) {
    // Its sender waits until it is received, and nobody else can do that any more: its bytes are dropped.
    arriving.pop_back();
    (void)MPI_Mrecv(nullptr, 0, MPI_BYTE, &message, MPI_STATUS_IGNORE);
    throw;
  }
  const int code = MPI_Imrecv(letter.bytes.data(), bytes, MPI_BYTE, &message, &letter.request);
  if (code != MPI_SUCCESS) arriving.pop_back();
  check(code, "MPI_Imrecv", rank_);
  return true;
}

std::size_t Group::unsent_bytes() {
  std::size_t bytes = 0;
  auto& letters = handles_->letters;
  for (auto posted = letters.begin(); posted != letters.end();) {
    int done = 0;
    check(MPI_Test(&posted->request, &done, MPI_STATUS_IGNORE), "MPI_Test", rank_);
    if (!done) bytes += posted->bytes.size();
    posted = done ? letters.erase(posted) : std::next(posted);
  }
  return bytes;
}

void Group::abort(int exit_code) {
  MPI_Abort(MPI_COMM_WORLD, exit_code);
  std::_Exit(exit_code);  // MPI_Abort may return
}

}  // namespace mpi

// Over TCP, Open MPI asks the receiver before it sends more than 64 KiB: another round trip for messages of a few
// hundred rows, which take less time than that. A setting of the user's counts more.
MpiSession::MpiSession(int& argc, char**& argv) {
  const double before = now_seconds();
  for (const char* name : {"OMPI_MCA_btl_tcp_eager_limit", "OMPI_MCA_btl_tcp_max_send_size"})
    setenv(name, "1048576", 0);
  int provided = MPI_THREAD_SINGLE;
  mpi::check(MPI_Init_thread(&argc, &argv, MPI_THREAD_MULTIPLE, &provided), "MPI_Init_thread", -1);
  mpi::check(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler", -1);
  if (provided < MPI_THREAD_MULTIPLE)
    system_error(
        "MPI_Init_thread: this MPI library gives thread level {} of the {} that moemill needs "
        "(MPI_THREAD_MULTIPLE)",
        provided, int{MPI_THREAD_MULTIPLE});
  starting_seconds_ = now_seconds() - before;
}

MpiSession::~MpiSession() {
  if (std::uncaught_exceptions() == 0) MPI_Finalize();
}

// Each component of Open MPI registers its version as variables of the tools interface.
bool MpiSession::speaks_pmi() {
  int provided = 0, count = 0;
  if (MPI_T_init_thread(MPI_THREAD_SINGLE, &provided) != MPI_SUCCESS) return false;
  if (MPI_T_cvar_get_num(&count) != MPI_SUCCESS) count = 0;
  bool found = false;
  for (int i = 0; i < count && !found; ++i) {
    char text[128] = "";
    int length = sizeof text, no_description = 0, verbosity = 0, binding = 0, scope = 0;
    MPI_Datatype type = MPI_DATATYPE_NULL;
    MPI_T_enum values = MPI_T_ENUM_NULL;
    if (MPI_T_cvar_get_info(i, text, &length, &verbosity, &type, &values, nullptr, &no_description, &binding, &scope) !=
        MPI_SUCCESS)
      continue;
    const std::string_view name = text;
    found = name.starts_with("pmix_s1_") || name.starts_with("pmix_s2_") || name.starts_with("pmix_cray_");
  }
  MPI_T_finalize();
  return found;
}

std::string MpiSession::library_version() {
  char text[MPI_MAX_LIBRARY_VERSION_STRING] = "";
  int length = 0;
  mpi::check(MPI_Get_library_version(text, &length), "MPI_Get_library_version", -1);
  return mpi::name_and_version(std::string(text, static_cast<std::size_t>(length)));
}

}  // namespace moemill
