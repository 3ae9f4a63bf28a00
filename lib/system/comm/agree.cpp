#include "system/comm/agree.hpp"

#include <algorithm>
#include <new>
#include <vector>

#include "system/machine/host.hpp"

namespace moemill {
namespace {

// Ranks agree on a code, not on an exception's type.
const char* kind_of(ExitCode code) {
  if (code == ExitCode::Usage) return "error";
  return code == ExitCode::Stopped ? "stopped" : "failed";
}

}  // namespace

Failure describe_current_exception() {
  try {
    throw;
  } catch (const AgreedFailure& e) {
    return {e.code(), e.what(), kind_of(e.code()), true};
  } catch (const StopRequested& e) {
    return {ExitCode::Stopped, e.what(), "stopped"};
  } catch (const UserError& e) {
    return {ExitCode::Usage, e.what(), "error"};
  } catch (const SystemError& e) {
    return {ExitCode::Internal, e.what(), "system error"};
  } catch (const std::bad_alloc&) {
    return {ExitCode::Internal, "out of memory", "system error"};
  } catch (const std::exception& e) {
    return {ExitCode::Internal, e.what(), "internal error"};
  }
}

void run_on_all_ranks(const Comm& world, const std::function<void()>& phase) {
  Failure mine;
  try {
    phase();
  } catch (...) {
    mine = describe_current_exception();
  }
  const std::vector<std::int32_t> codes = gather(world, static_cast<std::int32_t>(mine.code));
  auto failed = std::find_if(codes.begin(), codes.end(), [](std::int32_t c) { return c != 0; });
  if (failed == codes.end()) return;
  int rank = static_cast<int>(failed - codes.begin());
  throw AgreedFailure(static_cast<ExitCode>(*failed), broadcast_text(world, attribution(world, mine), rank));
}

std::string broadcast_text(const Comm& world, const std::string& mine, int from) {
  const auto bytes = world.broadcast(std::as_bytes(std::span(mine)), from);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string attribution(const Comm& world, const Failure& failure) {
  if (world.size() == 1 || (world.rank() == 0 && failure.code != ExitCode::Internal)) return failure.text;
  return fmt::format("rank {} on {}: {}", world.rank(), host_name(), failure.text);
}

void run_on_rank_zero(const Comm& world, const std::function<void()>& phase) {
  run_on_all_ranks(world, [&] {
    if (world.rank() == 0) phase();
  });
}

}  // namespace moemill
