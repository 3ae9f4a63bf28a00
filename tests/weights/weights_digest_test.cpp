// The digest of the weights that are read: the same however they are spread, another for every changed byte.
#include <doctest/doctest.h>

#include "model/folders.hpp"
#include "support/placements.hpp"
#include "weights/weights.hpp"

using namespace moemill;
using namespace moemill::model;
using namespace moemill::test;

namespace {

// The digest of the whole model, over the ranks of an expert domain, on that many threads each.
ByteSum digest_of(const fs::path& dir, std::uint32_t ranks, int threads, const char* format = "auto",
                  Spread spread = Spread::Slices) {
  const ModelConfig c = read_config(dir.string());
  const Placement placement = placement_for(c, ranks, spread);
  ThreadTeam team(threads);
  ByteSum sum, replicated;
  for (std::int32_t rank = 0; rank < static_cast<std::int32_t>(ranks); ++rank) {
    const WeightsDigest d = load_weights(dir.string(), c, placement, {rank}, format, team).digest;
    if (rank == 0) sum = replicated = d.replicated;
    CHECK(d.replicated == replicated);
    sum += d.experts;
  }
  return sum;
}

std::string first_weights_file(const fs::path& dir) {
  for (const auto& entry : fs::directory_iterator(dir))
    if (entry.path().extension() == ".safetensors") return entry.path().string();
  FAIL("no weights in ", dir.string());
  return "";
}

}  // namespace

TEST_CASE("weights digest: the same for any ranks, threads and placement, in every form of storage") {
  for (const char* name : {"deepseek_v3", "deepseek_v3_fp8", "gpt_oss", "gpt_oss_mxfp4", "mixtral"}) {
    CAPTURE(name);
    const ByteSum whole = digest_of(models / name, 1, 1);
    CHECK(whole.hex().size() == 32);
    CHECK(whole != ByteSum());
    for (std::uint32_t ranks : {2u, 3u, 5u}) {
      CHECK(digest_of(models / name, ranks, 2) == whole);
      CHECK(digest_of(models / name, ranks, 2, "auto", Spread::SomeTwice) == whole);
    }
  }
}

TEST_CASE("weights digest: what run directories hold stays true") {
  // When this changes, job/run_setup.hpp's weights_fingerprint needs another number.
  CHECK(digest_of(models / "deepseek_v3", 2, 1).hex() == "f630c90c365b4ba3b47c3048c6fb01a2");
}

TEST_CASE("weights digest: a changed byte is seen, wherever it is") {
  TempDir dir(models / "deepseek_v3_fp8");
  const ByteSum before = digest_of(dir.path, 1, 2);
  const std::string file = first_weights_file(dir.path);
  const std::string kept = read_text(file);
  std::uint64_t header = 0;
  std::memcpy(&header, kept.data(), 8);
  const std::size_t data = 8 + header, step = (kept.size() - data) / 40;
  for (std::size_t at = data; at < kept.size(); at += step) {
    CAPTURE(at);
    std::string changed = kept;
    changed[at] = static_cast<char>(changed[at] ^ 1);  // never a NaN of E4M3, or an infinite scale
    write_text(file, changed);
    CHECK(digest_of(dir.path, 2, 1) != before);
  }
  write_text(file, kept);
  CHECK(digest_of(dir.path, 2, 1) == before);
}

TEST_CASE("weights digest: tensors that change places are seen, random weights have none") {
  ByteSum one, other;
  const auto bytes = [](const char* text) { return std::as_bytes(std::span(text, 4)); };
  one.add("a", 0, bytes("aaaa")), one.add("b", 0, bytes("bbbb"));
  other.add("b", 0, bytes("aaaa")), other.add("a", 0, bytes("bbbb"));
  CHECK(one != other);
  other = {};
  other.add("b", 0, bytes("bbbb")), other.add("a", 0, bytes("aaaa"));
  CHECK(one == other);  // in any order
  other = {};
  other.add("a", 4, bytes("aaaa")), other.add("b", 0, bytes("bbbb"));
  CHECK(one != other);
  CHECK(digest_of(models / "deepseek_v3", 2, 1, "dummy") == ByteSum());
}
