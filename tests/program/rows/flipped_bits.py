#!/usr/bin/env python3
"""One bit of a file is flipped: verify names the file, and no run continues with it.

    flipped_bits.py MOEMILL SOURCE_DIR WORK_DIR [test names]"""

import h5py
import numpy as np
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from moemill_program import check, differences, expect_exit, main, moemill  # noqa: E402
from verify import CUT, SHORT, WITH_LONG, elsewhere, flip, words_for  # noqa: E402


def flipped_bits_are_noticed():
    """One bit anywhere: in every stored block of outputs.h5 with no shard left to compare with, and anywhere in each file."""
    words, out = words_for("flipped", "sampling.logprobs=1", "sampling.prompt_logprobs=true")
    expect_exit(moemill(*words), 0)
    draw = np.random.default_rng(4)
    shard, outputs = out / "shards/shard-000001.h5", out / "outputs.h5"
    blocks = []
    def visit(name, item):
        if not isinstance(item, h5py.Dataset) or h5py.check_string_dtype(item.dtype): return
        for i in range(item.id.get_num_chunks()):
            stored = item.id.read_direct_chunk(item.id.get_chunk_info(i).chunk_offset)[1]
            blocks.append((name, whole_file.index(stored), len(stored)))
    whole_file = outputs.read_bytes()
    with h5py.File(outputs) as f: f.visititems(visit)
    check(len(blocks) >= 15, "too few blocks", blocks)
    expect_exit(moemill("verify", out, "--deep"), 0)
    anywhere = {shard: draw.integers(shard.stat().st_size * 8, size=20)}
    anywhere[out / "config.yaml"] = [8 * at + int(draw.integers(8)) for at in range(0, (out / "config.yaml").stat().st_size, 9)]
    anywhere[out / "run.json"] = draw.integers((out / "run.json").stat().st_size * 8 - 8, size=20)  # not its last line break
    anywhere[outputs] = [*draw.integers(outputs.stat().st_size * 8, size=20),
                         *(at * 8 + int(draw.integers(size * 8)) for _, at, size in blocks)]
    codes = {path.name: set() for path in anywhere}
    for path, bits in anywhere.items():
        whole = path.read_bytes()
        for bit in map(int, bits):
            flip(path, whole, bit)
            done = moemill("verify", out, *(["--deep"] if path == shard or bit % 2 else []))  # beside outputs.h5 no shard is read
            unread = path == out / "run.json" or f"{out / 'config.yaml'}: is damaged" in done.stderr  # nothing to check against
            expect_exit(done, 2 if unread else 1)
            check(str(path) in (done.stderr if unread else done.stdout), path, bit, done.stdout, done.stderr)
            codes[path.name].add(done.returncode)
        path.write_bytes(whole)
    check(codes == {shard.name: {1}, "run.json": {2}, "config.yaml": {1, 2}, "outputs.h5": {1}}, codes)
    for other in (out / "shards").glob("*.h5"): other.unlink()
    flip(outputs, outputs.read_bytes(), blocks[0][1] * 8 + 100)
    with h5py.File(outputs) as f:
        try: f[blocks[0][0]][:]
        except OSError: pass
        else: check(False, "another reader did not notice a flipped bit")


def no_flipped_bit_gets_to_hdf5():
    """HDF5 1.10 crashes on damaged tables of texts: verify in both depths and replay name the file instead."""
    words, out = words_for("not_to_hdf5", "output.merge=false",
                           prompts={"prompt": [f"number {i}" for i in range(4)], "id": [f"rowname{i}" for i in range(4)]})
    expect_exit(moemill(*words), 0)
    shard = out / "shards/shard-000001.h5"
    whole = shard.read_bytes()
    ids = whole.index(b"rowname2")
    heap = whole.rindex(b"GCOL", 0, ids)
    draw = np.random.default_rng(6)
    places = [*range(heap, heap + 24), *range(ids - 16, ids)]
    for at in draw.choice(places, 12, replace=False):
        flip(shard, whole, int(at) * 8 + int(draw.integers(8)))
        for more in ([], ["--deep"], ["--replay", "3"]):
            done = expect_exit(moemill("verify", out, *more), 1)
            check(f"{shard}: its bytes are not those that were written" in done.stdout, at, done.stdout)
            check(("nothing was replayed" in done.stderr) == ("--replay" in more), done.stderr)
        status = moemill("status", out)
        check(status.returncode in (0, 1), at, status.returncode)
        check("\ufffd" not in status.stdout + status.stderr, at, status.stderr)
    for ranks in (2, 3):
        done = expect_exit(moemill("verify", out, "--replay", "3", ranks=ranks), 1)
        check(done.stderr.count("nothing was replayed") == 1 and str(shard) in done.stderr, done.stderr)


def a_flipped_bit_does_not_get_through_a_retry():
    """The shard is named before anything is changed, even if a different shard comes first; without it its rows are generated again.
    Beside a complete outputs.h5 the shard is not needed."""
    words, out = words_for("retry_flipped", "sampling.prompt_logprobs=true", "output.merge=false",
                           prompts={**WITH_LONG, "id": [f"rowname{i}" for i in range(5)]})
    words += SHORT
    merging = [*CUT, "--set", "output.merge=true"]
    expect_exit(moemill(*elsewhere(words, out.parent / "whole"), *merging), 0)
    whole = out.parent / "whole/outputs.h5"
    expect_exit(moemill(*words), 3)
    shard = out / "shards/shard-000002.h5"
    kept = shard.read_bytes()
    flip(shard, kept, kept.index(b"rowname4") * 8 + 30)
    files = lambda: {path: path.read_bytes() for path in (*(out / "shards").iterdir(), *(out / "journal").iterdir())}
    before = files()
    done = expect_exit(moemill(*words, *CUT, "--retry-failed"), 1)
    check(f"{shard}: is damaged" in done.stderr and "remove this file" in done.stderr, done.stderr)
    check(files() == before, "something was changed")
    shard.write_bytes(kept)
    expect_exit(moemill(*words, "--set", "output.merge=true"), 3)
    flip(shard, kept, kept.index(b"rowname4") * 8 + 30)
    expect_exit(moemill(*words, *merging, "--retry-failed"), 0)
    check(not differences(whole, out / "outputs.h5"), differences(whole, out / "outputs.h5"))
    expect_exit(moemill("verify", out, "--deep"), 0)


def a_flipped_bit_does_not_get_into_the_merged_file():
    words, out = words_for("not_merged")
    expect_exit(moemill(*words), 0)
    whole = (out / "outputs.h5").rename(out.parent / "whole.h5")
    shard = out / "shards/shard-000001.h5"
    kept = shard.read_bytes()
    for bit in map(int, np.random.default_rng(5).integers(len(kept) * 8, size=10)):
        flip(shard, kept, bit)
        done = expect_exit(moemill(*words), 1)
        check(str(shard) in done.stderr and "remove this file" in done.stderr, bit, done.stderr)
        check(not (out / "outputs.h5").exists(), "merged all the same")
    shard.unlink()
    expect_exit(moemill(*words), 0)
    check(not differences(whole, out / "outputs.h5"), differences(whole, out / "outputs.h5"))


if __name__ == "__main__":
    main([flipped_bits_are_noticed, no_flipped_bit_gets_to_hdf5, a_flipped_bit_does_not_get_through_a_retry,
          a_flipped_bit_does_not_get_into_the_merged_file])
