// The digest of the weights that are read: the same for any placement, different for every changed byte.
#include <doctest/doctest.h>

#include "model/folders.hpp"
#include "support/placements.hpp"
#include "weights/cpu/weights.hpp"

using namespace moemill;
using namespace moemill::model;
using namespace moemill::test;

namespace {

// The sum of the digests of an expert domain whose rank r reads dirs[r], except that `replicated` is one rank's.
WeightsDigest domain_digest(const std::vector<fs::path>& dirs, const Placement& placement, int threads,
                            const char* format = "auto") {
  ThreadTeam team(threads);
  WeightsDigest sum;
  ByteSum replicated;
  for (std::size_t r = 0; r < dirs.size(); ++r) {
    const ModelConfig c = read_config(dirs[r].string());
    const DomainRank rank{static_cast<std::int32_t>(r)};
    const WeightsDigest d = load_weights(dirs[r].string(), c, placement, rank, format, team).digest;
    if (r == 0) replicated = d.replicated;
    CHECK(d.replicated == replicated);
    sum += d;
  }
  sum.replicated = replicated;
  return sum;
}

// The digest of the whole model.
ByteSum digest_of(const fs::path& dir, std::uint32_t ranks, int threads, const char* format = "auto",
                  Spread spread = Spread::Slices) {
  const Placement placement = placement_for(read_config(dir.string()), ranks, spread);
  const WeightsDigest d = domain_digest(std::vector<fs::path>(ranks, dir), placement, threads, format);
  CHECK(d.copies == ByteSum());
  ByteSum sum = d.replicated;
  sum += d.experts;
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

TEST_CASE("weights digest: the digests in run directories stay valid") {
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

TEST_CASE(
    "weights digest: a changed byte of a copy is seen, and which of the holders has read it makes no difference") {
  const fs::path original = models / "gpt_oss_mxfp4";
  const ModelConfig c = read_config(original.string());
  const Placement placement = placement_for(c, 3, Spread::SomeTwice);
  const GlobalExpert expert{3};
  const std::span<const Holder> holders = placement.layer({0}).holders(expert);
  REQUIRE(holders.size() == 2);
  const ByteSum experts = domain_digest({original, original, original}, placement, 1).experts;
  for (const char* name : {"gate_up_proj_blocks", "down_proj_scales", "gate_up_proj_bias", "down_proj_bias"}) {
    CAPTURE(name);
    std::vector<RawTensor> tensors = read_tensors(original);
    RawTensor& changed = tensor(tensors, std::string("model.layers.0.mlp.experts.") + name);
    char& first = changed.bytes[changed.bytes.size() / c.moe.experts * static_cast<std::size_t>(expert.value)];
    first = static_cast<char>(first ^ 1);
    TempDir dir;
    write_config(dir, original, Json::object());
    write_text(dir.path / "model.safetensors", safetensors(tensors));
    for (const std::size_t holder : {0u, 1u}) {
      CAPTURE(holder);
      std::vector<fs::path> dirs(3, original);
      dirs[static_cast<std::size_t>(holders[holder].rank.value)] = dir.path;
      const WeightsDigest d = domain_digest(dirs, placement, 1);
      CHECK(d.copies != ByteSum());
      CHECK((d.experts == experts) == (holder == 1));
    }
    const WeightsDigest both = domain_digest({dir.path, dir.path, dir.path}, placement, 1);
    CHECK(both.copies == ByteSum());
    CHECK(both.experts != experts);
  }
}

TEST_CASE("weights digest: an expert with several copies") {
  const auto reading = [](const char* text) {
    ByteSum sum;
    sum.add("expert", 0, std::as_bytes(std::span(text, 4)));
    return sum;
  };
  for (const char* third : {"same", "diff"}) {
    WeightsDigest sum;
    sum.add({Readers::Who::FirstHolder, 2}, reading("same"));
    sum.add({Readers::Who::LaterHolder}, reading("same"));
    CHECK(sum.copies != ByteSum());
    sum.add({Readers::Who::LaterHolder}, reading(third));
    CHECK((sum.copies == ByteSum()) == (third == std::string("same")));
  }
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
