// A small Ethernet switch in user space: it makes a TAP device in the network namespace of each given process and
// forwards frames between them, with a delay one way and a rate for each device in both directions. Linux has such
// things (tc netem), but not every kernel is built with them. Started by hosts.py, which compiles it; needs root.
//
//   switch DEVICE MEGABITS_PER_SECOND DELAY_US READY_FILE PID...
//
// A rate of 0 is no limit. It makes READY_FILE when the devices are there, and ends with SIGTERM.
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <functional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace {

volatile std::sig_atomic_t stopped = 0;

std::int64_t now_ns() {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return std::int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}

[[noreturn]] void fail(const char* call) {
  std::perror(call);
  std::exit(1);
}

// Frames carry a header of virtio (IFF_VNET_HDR), so that the kernel leaves cutting TCP into packets to the device that
// never does it: a frame may have 64 KiB.
constexpr std::size_t frame_header = 10, ethernet_header = 14, most_frame_bytes = 70'000;

int open_device(const std::string& pid, const char* name) {
  const int space = open(("/proc/" + pid + "/ns/net").c_str(), O_RDONLY | O_CLOEXEC);
  if (space < 0 || setns(space, CLONE_NEWNET) != 0) fail("setns");
  close(space);
  const int device = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (device < 0) fail("/dev/net/tun");
  ifreq request{};
  std::strncpy(request.ifr_name, name, IFNAMSIZ - 1);
  request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
  if (ioctl(device, TUNSETIFF, &request) != 0) fail("TUNSETIFF");
  if (ioctl(device, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6) != 0) fail("TUNSETOFFLOAD");
  return device;
}

struct Frame {
  std::int64_t due_ns;
  std::uint64_t number;
  std::size_t to;
  std::vector<char> bytes;  // of which the first `size` are the frame
  std::size_t size = 0;

  bool operator>(const Frame& other) const {
    return due_ns != other.due_ns ? due_ns > other.due_ns : number > other.number;
  }
};

class Switch {
 public:
  Switch(double ns_per_byte, std::int64_t delay_ns, std::vector<int> devices)
      : ns_per_byte_(ns_per_byte), delay_ns_(delay_ns), devices_(std::move(devices)) {
    sending_until_.resize(devices_.size()), receiving_until_.resize(devices_.size());
  }

  void run() {
    std::vector<pollfd> ready;
    for (const int device : devices_) ready.push_back({device, POLLIN, 0});
    while (!stopped) {
      const std::int64_t left = waiting_.empty() ? 0 : std::max<std::int64_t>(0, waiting_.front().due_ns - now_ns());
      const timespec pause{left / 1'000'000'000, left % 1'000'000'000};
      if (ppoll(ready.data(), ready.size(), waiting_.empty() ? nullptr : &pause, nullptr) > 0) {
        for (std::size_t from = 0; from < ready.size(); ++from)
          if (ready[from].revents & POLLIN) take(from);
      }
      deliver();
    }
  }

 private:
  // A frame waits for those before it on its sender's line and on its receiver's.
  void take(std::size_t from) {
    constexpr int at_a_time = 32;
    const std::int64_t now = now_ns();
    for (int i = 0; i < at_a_time; ++i) {
      Frame frame{0, 0, 0, spare_buffer()};
      const ssize_t size = read(devices_[from], frame.bytes.data(), frame.bytes.size());
      if (size < static_cast<ssize_t>(frame_header + ethernet_header)) return spare_.push_back(std::move(frame.bytes));
      std::uint64_t to_address = 0, from_address = 0;
      std::memcpy(&to_address, frame.bytes.data() + frame_header, 6);
      std::memcpy(&from_address, frame.bytes.data() + frame_header + 6, 6);
      device_of_[from_address] = from;
      frame.size = static_cast<std::size_t>(size);
      const auto line_ns = static_cast<std::int64_t>(static_cast<double>(size) * ns_per_byte_);
      const std::int64_t sent = sending_until_[from] = std::max(now, sending_until_[from]) + line_ns;
      const auto known = device_of_.find(to_address);
      for (std::size_t to = 0; to < devices_.size(); ++to) {
        if (to == from || (known != device_of_.end() && known->second != to)) continue;
        frame.due_ns = receiving_until_[to] = std::max(sent + delay_ns_, receiving_until_[to] + line_ns);
        frame.number = frames_++, frame.to = to;
        known != device_of_.end() ? put(std::move(frame)) : put(Frame(frame));
      }
    }
  }

  // Copying frames would take more of the cores than forwarding them.
  std::vector<char> spare_buffer() {
    if (spare_.empty()) return std::vector<char>(frame_header + most_frame_bytes);
    std::vector<char> buffer = std::move(spare_.back());
    spare_.pop_back();
    return buffer;
  }

  void put(Frame frame) {
    waiting_.push_back(std::move(frame));
    std::push_heap(waiting_.begin(), waiting_.end(), std::greater<>());
  }

  void deliver() {
    while (!waiting_.empty() && waiting_.front().due_ns <= now_ns()) {
      std::pop_heap(waiting_.begin(), waiting_.end(), std::greater<>());
      Frame frame = std::move(waiting_.back());
      waiting_.pop_back();
      // A device that is down loses its frames, as a cable would.
      if (write(devices_[frame.to], frame.bytes.data(), frame.size) < 0 && errno != EIO && errno != EAGAIN)
        std::perror("write");
      spare_.push_back(std::move(frame.bytes));
    }
  }

  const double ns_per_byte_;
  const std::int64_t delay_ns_;
  const std::vector<int> devices_;
  std::vector<std::int64_t> sending_until_, receiving_until_;  // [devices] ns
  std::unordered_map<std::uint64_t, std::size_t> device_of_;   // by Ethernet address
  std::vector<Frame> waiting_;                                 // a heap, the next one first
  std::vector<std::vector<char>> spare_;                       // buffers
  std::uint64_t frames_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 6) {
    std::fprintf(stderr, "usage: switch DEVICE MEGABITS_PER_SECOND DELAY_US READY_FILE PID...\n");
    return 2;
  }
  for (const int signal : {SIGTERM, SIGINT}) std::signal(signal, [](int) { stopped = 1; });
  prctl(PR_SET_TIMERSLACK, 1);  // or frames come 50 us late
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  std::vector<int> devices;
  for (int i = 5; i < argc; ++i) devices.push_back(open_device(argv[i], argv[1]));
  const double megabits = std::atof(argv[2]);
  Switch all(megabits > 0 ? 8000 / megabits : 0, std::atoll(argv[3]) * 1000, devices);
  if (std::FILE* file = std::fopen(argv[4], "w")) std::fclose(file);
  all.run();
  return 0;
}
