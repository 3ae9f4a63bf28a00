// Is it UTF-8? Used where text comes in and where outputs are verified.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

namespace moemill::dataset {

// Where the first byte sequence begins that is not well-formed UTF-8 (overlong forms and surrogates are not); nothing
// when the text is well-formed.
std::optional<std::size_t> first_bad_utf8(std::string_view text);

}  // namespace moemill::dataset
