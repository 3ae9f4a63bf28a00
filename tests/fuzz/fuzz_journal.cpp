// Any bytes as a journal: refused, or parsed to rows that are the same after writing and reading them again.
#include <algorithm>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/hash.hpp"
#include "dataset/journal/journal.hpp"
#include "process_path.hpp"

namespace {

constexpr moemill::ShardId shard{0};

// The input is the frames after a correct header, each with a corrected checksum, so that the fuzzer gets past it; byte
// 0 of a frame is its length.
std::vector<std::byte> with_checksums(const std::string& header, const std::uint8_t* data, std::size_t size) {
  auto bytes = std::as_bytes(std::span(header.data(), header.size()));
  std::vector<std::byte> journal(bytes.begin(), bytes.end());
  const auto* end = data + size;
  while (data < end) {
    std::uint32_t wanted = *data++;
    std::uint32_t length = std::min(wanted, static_cast<std::uint32_t>(end - data));
    std::vector<std::byte> body(4 + length);
    std::memcpy(body.data(), &length, 4);
    std::memcpy(body.data() + 4, data, length);
    data += length;
    std::uint32_t crc = moemill::crc32c(body);
    for (unsigned char c : {0xf5, 0x6d, 0x72, 0x0a}) journal.push_back(static_cast<std::byte>(c));
    journal.insert(journal.end(), body.begin(), body.begin() + 4);
    for (int i = 0; i < 4; i++) journal.push_back(static_cast<std::byte>(crc >> (8 * i)));
    journal.insert(journal.end(), body.begin() + 4, body.end());
  }
  return journal;
}

void check(std::span<const std::byte> bytes, const std::string& path) {
  using namespace moemill::dataset;
  JournalContents contents = parse_journal(bytes, "journal", "fuzz", shard);
  moemill::expect(contents.whole_bytes + contents.dropped_bytes == bytes.size(), "every byte is accounted for");
  if (contents.completions.empty() && contents.scores.empty() && contents.partials.empty()) return;
  std::filesystem::remove(path);
  JournalWriter writer(path, "fuzz", shard, 0);
  for (const auto& row : contents.completions) writer.append(row);
  for (const auto& row : contents.scores) writer.append(row);
  for (const auto& row : contents.partials) writer.append(row);
  writer.close();
  JournalContents again = read_journal(path, "fuzz", shard);
  moemill::expect(!again.damage && again.dropped_bytes == 0, "what was written is whole");
  moemill::expect(again.completions.size() == contents.completions.size() &&
                      again.scores.size() == contents.scores.size() &&
                      again.partials.size() == contents.partials.size(),
                  "what was written comes back");
  for (std::size_t i = 0; i < again.completions.size(); i++) {
    moemill::expect(again.completions[i].text == contents.completions[i].text &&
                        again.completions[i].token_ids == contents.completions[i].token_ids &&
                        again.completions[i].error == contents.completions[i].error,
                    "rows come back as they were");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::string path = moemill::process_path("journal");
  static const std::string header = [] {
    std::filesystem::remove(path);
    moemill::dataset::JournalWriter(path, "fuzz", shard, 0).close();
    return *moemill::files::read_text(path);
  }();
  try {
    check(std::as_bytes(std::span(data, size)), path);
    check(with_checksums(header, data, size), path);
  } catch (const moemill::UserError&) {
  }
  return 0;
}
