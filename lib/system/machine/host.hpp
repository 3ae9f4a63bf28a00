// The name of this machine as it calls itself: for messages, records of attempts and run.lock.
#pragma once

#include <string>

namespace moemill {

// At most 255 bytes; "unknown host" where the system does not say.
std::string host_name();

}  // namespace moemill
