// The payloads of journal frames: each kind of row to bytes and back. Used by the journal, and for rows that travel
// between ranks. Little-endian, floats as their bits, so that a row is read back exactly as it was written.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <variant>
#include <vector>

#include "dataset/rows.hpp"

namespace moemill::dataset {

using JournalRecord = std::variant<Completion, PromptScore, PartialSample>;

void encode(const Completion& row, std::vector<std::byte>& out);
void encode(const PromptScore& score, std::vector<std::byte>& out);
void encode(const PartialSample& partial, std::vector<std::byte>& out);
// Nothing unless the payload is exactly one record of a known kind with legal values.
std::optional<JournalRecord> decode(std::span<const std::byte> payload);

}  // namespace moemill::dataset
