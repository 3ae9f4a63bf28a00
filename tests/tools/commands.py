#!/usr/bin/env python3
"""What all scripts have in common: their help, other names for them, what they need.

    commands.py WORK_DIR [TEST ...]"""
import json
import os
import pathlib
import subprocess
import sys

from outputs_out import outputs
from tools import SCRIPTS, check, main


def commands_by_another_name(work):
    """Through a link, from any folder: the parts of a command are where its file really is."""
    outputs(work / "a.h5")
    for name in ("outputs", "report"):
        (work / name).symlink_to(SCRIPTS / f"{name}.py")
        done = subprocess.run([sys.executable, work / name, "--help"], cwd="/", capture_output=True, text=True)
        check(done.returncode == 0 and done.stdout.startswith(f"usage: {name}.py"), done.stderr)
    done = subprocess.run([sys.executable, "outputs", "a.h5", "--limit", "1"], cwd=work, capture_output=True, text=True)
    check(done.returncode == 0 and json.loads(done.stdout)["id"] == "a", done.stderr)


def help_is_narrow(work):
    """Of every script within 100 columns, however wide the terminal is."""
    for path in sorted(SCRIPTS.glob("*.py")):
        if "argparse" not in path.read_text() and "moemill_tools" not in path.read_text(): continue
        done = subprocess.run([sys.executable, path, "--help"], capture_output=True, text=True, env=dict(os.environ, COLUMNS="200"))
        check(done.returncode == 0 and done.stdout.startswith("usage: "), path, done.stderr)
        for line in done.stdout.splitlines(): check(len(line) <= 100, path.name, len(line), line)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]).resolve(), [
        commands_by_another_name, help_is_narrow], sys.argv[2:])
