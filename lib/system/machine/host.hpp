// The machine's own host name, for messages, records of attempts and run.lock.
#pragma once

#include <string>

namespace moemill {

// At most 255 bytes; "unknown host" if the system reports none.
std::string host_name();

}  // namespace moemill
