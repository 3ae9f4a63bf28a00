#include "system/comm/comm.hpp"

#include <utility>
#include <variant>

#include "base/error.hpp"
#include "system/comm/loopback.hpp"
#include "system/comm/mpi.hpp"

namespace moemill {

static_assert(Comm::lanes == loopback::open_lanes);

struct Comm::Impl {
  std::variant<loopback::Member, mpi::Group> transport;
  int rank;
  int size;

  template <class Transport>
  static Comm make(Transport&& transport) {
    int rank = transport.rank(), size = transport.size();
    return Comm(std::make_shared<Impl>(Impl{std::forward<Transport>(transport), rank, size}));
  }
  template <class Call>
  decltype(auto) with(Call&& call) {
    return std::visit(std::forward<Call>(call), transport);
  }
};

Comm Comm::world() { return Impl::make(mpi::Group::world()); }
Comm Comm::alone() { return Impl::make(loopback::alone()); }

int Comm::rank() const { return impl_->rank; }
int Comm::size() const { return impl_->size; }

void Comm::barrier() const {
  impl_->with([](auto& t) { t.barrier(); });
}

void Comm::all_gather(std::span<const std::byte> mine, std::span<std::byte> all) const {
  impl_->with([&](auto& t) { t.all_gather(mine, all); });
}

std::vector<std::byte> Comm::broadcast(std::span<const std::byte> mine, int root) const {
  return impl_->with([&](auto& t) { return t.broadcast(mine, root); });
}

Comm Comm::split(int color, int key) const {
  return impl_->with([&](auto& t) { return Impl::make(t.split(color, key)); });
}

Comm Comm::split_by_node() const {
  return impl_->with([](auto& t) { return Impl::make(t.split_by_node()); });
}

Comm::Transfer Comm::start_all_to_all(const std::byte* send, std::span<const std::uint32_t> send_units,
                                      std::byte* receive, std::span<const std::uint32_t> receive_units,
                                      std::size_t unit_bytes, int channel) const {
  auto ranks = static_cast<std::size_t>(size());
  expect(send_units.size() == ranks && receive_units.size() == ranks, "start_all_to_all: one number of units per rank");
  expect(channel == 0 || channel == 1, "start_all_to_all: channel is 0 or 1");
  expect(unit_bytes > 0, "start_all_to_all: units have bytes");
  impl_->with([&](auto& t) { t.start(send, send_units, receive, receive_units, unit_bytes, channel); });
  Transfer transfer;
  transfer.group_ = impl_;
  transfer.channel_ = channel;
  return transfer;
}

void Comm::open_lane(int lane, std::size_t unit_bytes) const {
  expect(lane >= 0 && lane < lanes && unit_bytes > 0, "open_lane: a lane that there is, and units with bytes");
  impl_->with([&](auto& t) { t.open_lane(lane, unit_bytes); });
}

void Comm::post_receive(int lane, int from, std::byte* to, std::uint32_t most_units) const {
  impl_->with([&](auto& t) { t.post_receive(lane, from, to, most_units); });
}

void Comm::post_send(int lane, int to, const std::byte* from, std::uint32_t units) const {
  impl_->with([&](auto& t) { t.post_send(lane, to, from, units); });
}

bool Comm::test_receives(int lane) const {
  return impl_->with([&](auto& t) { return t.test_receives(lane); });
}

std::span<const std::uint32_t> Comm::units_received(int lane) const {
  return impl_->with([&](auto& t) { return t.units_received(lane); });
}

bool Comm::test_sends(int lane) const {
  return impl_->with([&](auto& t) { return t.test_sends(lane); });
}

void Comm::cancel_receives(int lane) const noexcept {
  impl_->with([&](auto& t) { t.cancel_receives(lane); });
}

void Comm::Transfer::wait() {
  if (!group_) return;
  group_->with([&](auto& t) { t.wait(channel_); });
  group_.reset();
}

bool Comm::Transfer::test() {
  if (group_ && group_->with([&](auto& t) { return t.test(channel_); })) group_.reset();
  return !group_;
}

void Comm::post(int to, std::vector<std::byte> letter) const {
  expect(to >= 0 && to < size(), "post: the receiver is a rank of the group");
  expect(letter.size() <= most_letter_bytes, "post: a letter is not longer than 1 GiB");
  impl_->with([&](auto& t) { t.post(to, std::move(letter)); });
}

std::optional<Comm::Letter> Comm::next_letter() const {
  Letter letter;
  const bool arrived = impl_->with([&](auto& t) { return t.take_letter(letter.from, letter.bytes); });
  return arrived ? std::optional(std::move(letter)) : std::nullopt;
}

std::size_t Comm::unsent_bytes() const {
  return impl_->with([](auto& t) { return t.unsent_bytes(); });
}

void Comm::abort(int exit_code) const {
  impl_->with([&](auto& t) { t.abort(exit_code); });
  std::abort();  // not reached: both transports end the process
}

void run_loopback(int ranks, const std::function<void(Comm)>& body) {
  loopback::run(ranks, [&](loopback::Member member) { body(Comm::Impl::make(std::move(member))); });
}

std::vector<std::uint64_t> sum_counts(const Comm& comm, std::span<const std::uint64_t> mine) {
  std::vector<std::uint64_t> all(mine.size() * static_cast<std::size_t>(comm.size())), sum(mine.size());
  comm.all_gather(std::as_bytes(mine), std::as_writable_bytes(std::span(all)));
  for (std::size_t i = 0; i < all.size(); ++i) sum[i % mine.size()] += all[i];
  return sum;
}

}  // namespace moemill
