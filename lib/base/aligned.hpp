// The former name of Buffer, until its last user has moved.
#pragma once

#include "base/buffer.hpp"

namespace moemill {

template <class T>
using AlignedBuffer = Buffer<T>;

}  // namespace moemill
