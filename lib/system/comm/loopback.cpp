#include "system/comm/loopback.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <numeric>
#include <thread>

#include "base/error.hpp"

namespace moemill::loopback {

Group::Group(std::shared_ptr<Job> job_, std::vector<int> job_ranks_)
    : job(std::move(job_)), job_ranks(std::move(job_ranks_)) {
  for (auto& lane : mail) lane.resize(job_ranks.size() * job_ranks.size());
  letters.resize(job_ranks.size());
}

std::deque<Message>& Member::box(std::size_t lane, int source, int destination) {
  return group_
      ->mail[lane][static_cast<std::size_t>(source) * group_->job_ranks.size() + static_cast<std::size_t>(destination)];
}

// Called with the lock held. Throws if `source` can no longer send.
void Member::check_alive(int source) const {
  if (group_->job->first_failure) system_error("loopback: rank {} cannot continue, because another rank failed", rank_);
  int job_rank = group_->job_ranks[static_cast<std::size_t>(source)];
  if (group_->job->ended[static_cast<std::size_t>(job_rank)])
    system_error("loopback: rank {} waits for rank {}, which has ended", rank_, source);
}

// Called with the lock held. Returns whether a message from `source` has arrived; throws if none can arrive any more.
bool Member::arrived(std::size_t lane, int source) {
  if (!group_->job->first_failure && !box(lane, source, rank_).empty()) return true;
  check_alive(source);
  return false;
}

void Member::send(std::size_t lane, int destination, std::span<const std::byte> bytes) {
  Message copy(bytes.begin(), bytes.end());
  {
    std::lock_guard guard(group_->job->lock);
    if (group_->job->first_failure) check_alive(destination);
    box(lane, rank_, destination).push_back(std::move(copy));
  }
  group_->job->changed.notify_all();
}

Message Member::receive(std::size_t lane, int source) {
  std::unique_lock guard(group_->job->lock);
  group_->job->changed.wait(guard, [&] { return arrived(lane, source); });
  auto& queue = box(lane, source, rank_);
  Message message = std::move(queue.front());
  queue.pop_front();
  return message;
}

void Member::barrier() { all_gather({}, {}); }

void Member::all_gather(std::span<const std::byte> mine, std::span<std::byte> all) {
  expect(all.size() == mine.size() * static_cast<std::size_t>(size()),
         "all_gather: `all` has room for every rank's bytes");
  for (int r = 0; r < size(); ++r) send(collective_lane, r, mine);
  for (int r = 0; r < size(); ++r) {
    Message message = receive(collective_lane, r);
    expect(message.size() == mine.size(), "all_gather: every rank gives the same number of bytes");
    std::copy(message.begin(), message.end(), all.begin() + static_cast<std::ptrdiff_t>(message.size()) * r);
  }
}

std::vector<std::byte> Member::broadcast(std::span<const std::byte> mine, int root) {
  expect(root >= 0 && root < size(), "broadcast: root is a rank of the group");
  if (rank_ == root)
    for (int r = 0; r < size(); ++r) send(collective_lane, r, mine);
  return receive(collective_lane, root);
}

Member Member::split(int color, int key) {
  struct Choice {
    int color, key, rank;
  };
  Choice mine{color, key, rank_};
  std::vector<Choice> all(group_->job_ranks.size());
  all_gather(std::as_bytes(std::span(&mine, 1)), std::as_writable_bytes(std::span(all)));
  std::erase_if(all, [&](const Choice& c) { return c.color != color; });
  std::stable_sort(all.begin(), all.end(), [](const Choice& a, const Choice& b) { return a.key < b.key; });

  std::vector<int> job_ranks;
  int rank = 0;
  for (const Choice& c : all) {
    if (c.rank == rank_) rank = static_cast<int>(job_ranks.size());
    job_ranks.push_back(group_->job_ranks[static_cast<std::size_t>(c.rank)]);
  }
  std::lock_guard guard(group_->job->lock);
  auto& child = group_->children[{splits_++, color}];  // the first member to arrive creates it
  if (!child) child = std::make_shared<Group>(group_->job, std::move(job_ranks));
  return Member(child, rank);
}

void Member::start(const std::byte* from, std::span<const std::uint32_t> send_units, std::byte* to,
                   std::span<const std::uint32_t> receive_units, std::size_t unit_bytes, int channel) {
  auto lane = static_cast<std::size_t>(channel);
  auto& expected = expected_[lane];
  expect(expected.empty(), "start_all_to_all: at most one transfer per channel is in flight");
  for (int r = 0; r < size(); ++r) {
    std::size_t send_bytes = send_units[static_cast<std::size_t>(r)] * unit_bytes;
    std::size_t receive_bytes = receive_units[static_cast<std::size_t>(r)] * unit_bytes;
    if (send_bytes > 0) send(lane, r, {from, send_bytes});
    if (receive_bytes > 0) expected.push_back({r, to, receive_bytes});
    from += send_bytes, to += receive_bytes;
  }
}

bool Member::test(int channel) {
  auto lane = static_cast<std::size_t>(channel);
  auto& expected = expected_[lane];
  while (!expected.empty()) {
    {
      std::lock_guard guard(group_->job->lock);
      if (!arrived(lane, expected.back().source)) return false;
    }
    auto [source, to, bytes] = expected.back();
    Message message = receive(lane, source);
    expect(message.size() == bytes, "start_all_to_all: each message has the size that its receiver expects");
    std::memcpy(to, message.data(), bytes);
    expected.pop_back();
  }
  return true;
}

void Member::wait(int channel) {
  auto lane = static_cast<std::size_t>(channel);
  while (!test(channel)) {
    std::unique_lock guard(group_->job->lock);
    group_->job->changed.wait(guard, [&] { return arrived(lane, expected_[lane].back().source); });
  }
}

void Member::post_receive(int lane, int from, std::byte* to, std::uint32_t most_units) {
  const auto l = static_cast<std::size_t>(lane);
  if (units_[l].size() == posted_[l].size()) posted_[l].clear(), units_[l].clear();  // those before have come
  posted_[l].push_back({from, to, most_units * unit_bytes_[l]});
}

void Member::post_send(int lane, int to, const std::byte* from, std::uint32_t units) {
  const auto l = static_cast<std::size_t>(lane);
  send(first_open_lane + l, to, {from, units * unit_bytes_[l]});
}

bool Member::test_receives(int lane) {
  const auto l = static_cast<std::size_t>(lane);
  while (units_[l].size() < posted_[l].size()) {
    const auto& [source, to, most_bytes] = posted_[l][units_[l].size()];
    {
      std::lock_guard guard(group_->job->lock);
      if (!arrived(first_open_lane + l, source)) return false;
    }
    const Message message = receive(first_open_lane + l, source);
    expect(message.size() <= most_bytes, "lane: a message fits into the room that its receiver has given it");
    std::copy(message.begin(), message.end(), to);
    units_[l].push_back(static_cast<std::uint32_t>(message.size() / unit_bytes_[l]));
  }
  return true;
}

void Member::post(int to, Message letter) {
  std::lock_guard guard(group_->job->lock);
  if (group_->job->first_failure) check_alive(to);
  group_->letters[static_cast<std::size_t>(to)].emplace_back(rank_, std::move(letter));
}

bool Member::take_letter(int& from, Message& letter) {
  std::lock_guard guard(group_->job->lock);
  auto& arrived = group_->letters[static_cast<std::size_t>(rank_)];
  if (arrived.empty()) {
    if (group_->job->first_failure) check_alive(rank_);
    return false;
  }
  from = arrived.front().first;
  letter = std::move(arrived.front().second);
  arrived.pop_front();
  return true;
}

void Member::abort(int exit_code) { std::_Exit(exit_code); }

void run(int ranks, const std::function<void(Member)>& body) {
  expect(ranks > 0, "run_loopback: there is at least one rank");
  auto job = std::make_shared<Job>(ranks);
  std::vector<int> job_ranks(static_cast<std::size_t>(ranks));
  std::iota(job_ranks.begin(), job_ranks.end(), 0);
  auto group = std::make_shared<Group>(job, std::move(job_ranks));

  auto run_rank = [&](int rank) {
    std::exception_ptr failure;
    try {
      body(Member(group, rank));
    } catch (...) {
      failure = std::current_exception();
    }
    {
      std::lock_guard guard(job->lock);
      job->ended[static_cast<std::size_t>(rank)] = 1;
      if (failure && !job->first_failure) job->first_failure = failure;
    }
    job->changed.notify_all();
  };
  {
    std::vector<std::jthread> threads;
    for (int r = 0; r < ranks; ++r) threads.emplace_back(run_rank, r);
  }
  if (job->first_failure) std::rethrow_exception(job->first_failure);
}

Member alone() { return Member(std::make_shared<Group>(std::make_shared<Job>(1), std::vector<int>{0}), 0); }

}  // namespace moemill::loopback
