#!/usr/bin/env python3
"""Folders that may not be written, end to end and as a plain user: an output folder that cannot be made, and a run
directory that becomes read-only between a stop and a restart. The message is clear, nothing is broken, and the run resumes
when permissions are restored.

    permissions.py MOEMILL SOURCE_DIR WORK_DIR

If root starts the test, it works as a user without privileges (setpriv), because permissions do not stop root."""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from moemill_program import MODELS, PROGRAM, check, differences, expect_exit, main, write_prompts  # noqa: E402

# Permissions do not stop root, and folders above a build folder may be closed to other users.
AS_USER = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.geteuid() == 0 else []
FOLDER = None


def plain(*words, seconds=120):
    return subprocess.run([*AS_USER, str(FOLDER / "moemill"), *map(str, words)], cwd=FOLDER, timeout=seconds, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "HOME": str(FOLDER)})


def mode(path, bits):
    """Changes a whole folder, which becomes read-only on request."""
    for entry in [path, *path.rglob("*")]: entry.chmod(bits if entry.is_dir() else bits & 0o666)


def contents(path):
    return {str(f.relative_to(path)): f.read_bytes() for f in sorted(path.rglob("*")) if f.is_file()}


def undisturbed():
    """The outputs of an undisturbed run."""
    whole = FOLDER / "open/whole"
    if not whole.exists(): expect_exit(plain("run", "-c", FOLDER / "run.yaml", "-o", whole), 0)
    return whole / "outputs.h5"


def a_folder_that_cannot_be_made():
    closed = FOLDER / "closed"
    closed.mkdir()
    closed.chmod(0o555)
    for out, first in ((closed / "out", closed / "out"), (closed / "deep/er/out", closed / "deep")):
        done = expect_exit(plain("run", "-c", FOLDER / "run.yaml", "-o", out), 1)
        check(f"make folder {first}: Permission denied" in done.stderr, done.stderr)
        check("output.dir" in done.stderr, "what to do:", done.stderr)
    check(not list(closed.iterdir()), "something was made")


def a_run_directory_that_loses_its_permission():
    words = ["run", "-c", FOLDER / "run.yaml"]
    out = FOLDER / "open/out"
    done = expect_exit(plain(*words, "-o", out, "--set", "runtime.max_wall_time=0.4", "--set", "runtime.drain_margin=0"), 75)
    before = contents(out)
    mode(out, 0o555)
    done = expect_exit(plain(*words, "-o", out), 1)
    check("Permission denied" in done.stderr and str(out) in done.stderr, done.stderr)
    check("check owner, rights and mount" in done.stderr, "what to do:", done.stderr)
    check(contents(out) == before, "a refused attempt changed files")
    # A user who may only read sees the status and what verify finds.
    told = json.loads(expect_exit(plain("status", out, "--json"), 0).stdout)
    check(told["state"] == "stopped early" and told["done"] + told["pending"] == 120, told)
    check("the run is not finished" in expect_exit(plain("verify", out), 1).stdout)
    mode(out, 0o755)
    expect_exit(plain(*words, "-o", out), 0)
    different = differences(undisturbed(), out / "outputs.h5")
    check(not different, different)
    mode(out, 0o555)
    expect_exit(plain("verify", out, "--deep"), 0)
    mode(out, 0o755)


def a_shard_folder_that_loses_its_permission():
    """The failure is within the run's files, not at its folder: rows are generated and kept in journals as far as possible."""
    half = FOLDER / "open/half"
    words = ["run", "-c", FOLDER / "run.yaml", "-o", half]
    expect_exit(plain(*words, "--set", "runtime.max_wall_time=0.2", "--set", "runtime.drain_margin=0"), 75)
    def done_rows(): return json.loads(expect_exit(plain("status", half, "--json"), 0).stdout)["done"]
    rows, shards = done_rows(), contents(half / "shards")
    (half / "shards").chmod(0o555)
    done = expect_exit(plain(*words), 1)
    check("Permission denied" in done.stderr and "shards/" in done.stderr, done.stderr)
    expect_exit(plain("status", half, "--exit-code"), 1)
    check(contents(half / "shards") == shards and done_rows() >= rows, "rows were lost:", done_rows(), "of", rows)
    (half / "shards").chmod(0o755)
    expect_exit(plain(*words), 0)
    expect_exit(plain("verify", half, "--deep"), 0)
    check(not differences(undisturbed(), half / "outputs.h5"), differences(undisturbed(), half / "outputs.h5"))


def files_that_may_not_be_read():
    words = ["run", "-c", FOLDER / "run.yaml", "-o", FOLDER / "open/unread"]
    for path in [FOLDER / name for name in ("p.h5", "run.yaml", "model/config.json", "model/generation_config.json", "model/tokenizer.json")]:
        before, made = path.stat().st_mode if path.exists() else 0, not path.exists()
        if made: path.write_text("{}")
        path.chmod(0)
        done = expect_exit(plain(*words), 2)
        check(f"{path.name}: cannot be opened: Permission denied" in done.stderr, done.stderr)
        path.unlink() if made else path.chmod(before)
    (FOLDER / "model").chmod(0)
    check("config.json: cannot be opened: Permission denied" in expect_exit(plain(*words), 2).stderr)
    (FOLDER / "model").chmod(0o755)
    expect_exit(plain(*words, "--dry-run"), 0)


def prepare(folder):
    """Program, model and prompts in a place that every user may read, and one folder that the user may write."""
    global FOLDER
    FOLDER = folder
    folder.chmod(0o755)
    shutil.copy(PROGRAM, folder / "moemill")
    shutil.copytree(MODELS / "deepseek_v3", folder / "model")
    mode(folder / "model", 0o755)
    write_prompts(folder / "p.h5", {"prompt": [f"alpha {'beta ' * (i % 5)}gamma" for i in range(120)]})
    (folder / "run.yaml").write_text(
        f"model: {{path: {folder / 'model'}}}\ninput: {{path: {folder / 'p.h5'}}}\n"
        "sampling: {max_tokens: 400, ignore_eos: true}\noutput: {shard_prompts: 8, journal_flush_seconds: 0.05}\n"
        "parallel: {max_num_seqs: 4}\n")
    (folder / "open").mkdir()
    (folder / "open").chmod(0o777)
    closed = folder / "probe"
    closed.mkdir(mode=0o555)
    works = plain("--version").returncode == 0
    stopped = subprocess.run([*AS_USER, "mkdir", str(closed / "x")], stderr=subprocess.DEVNULL).returncode != 0
    return works and stopped


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="moemill-permissions-") as name:
        try:
            ready = prepare(pathlib.Path(name))
        except FileNotFoundError as missing:
            ready = print(f"{missing.filename}: not found")
        if not ready:
            print("SKIPPED all: permissions stop nobody here, or no plain user can be taken (setpriv)")
            sys.exit(0)
        try:
            main([files_that_may_not_be_read, a_folder_that_cannot_be_made, a_run_directory_that_loses_its_permission, a_shard_folder_that_loses_its_permission])
        finally:
            mode(pathlib.Path(name), 0o755)
