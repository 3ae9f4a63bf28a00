#!/usr/bin/env python3
"""Common properties of all scripts: their help, their other names, their dependencies.

    commands.py WORK_DIR [TEST ...]"""
import json
import re
import os
import pathlib
import subprocess
import sys

from outputs_out import outputs
from tools import SCRIPTS, check, main


def commands_by_another_name(work):
    """Through a link, from any folder: the modules of a command are beside its real file."""
    outputs(work / "a.h5")
    for name in ("outputs", "report"):
        (work / name).symlink_to(SCRIPTS / f"{name}.py")
        done = subprocess.run([sys.executable, work / name, "--help"], cwd="/", capture_output=True, text=True)
        check(done.returncode == 0 and done.stdout.startswith(f"usage: {name}.py"), done.stderr)
    done = subprocess.run([sys.executable, "outputs", "a.h5", "--limit", "1"], cwd=work, capture_output=True, text=True)
    check(done.returncode == 0 and json.loads(done.stdout)["id"] == "a", done.stderr)


def help_is_narrow(work):
    """Help of every script fits in 100 columns on any terminal."""
    for path in sorted(SCRIPTS.glob("*.py")):
        if "argparse" not in path.read_text() and "moemill_tools" not in path.read_text(): continue
        done = subprocess.run([sys.executable, path, "--help"], capture_output=True, text=True, env=dict(os.environ, COLUMNS="200"))
        check(done.returncode == 0 and done.stdout.startswith("usage: "), path, done.stderr)
        for line in done.stdout.splitlines(): check(len(line) <= 100, path.name, len(line), line)


def recipes_have_what_is_imported(work):
    """Each package that a user's script imports is in every recipe; packages that CMake looks for are in those that build."""
    code = [p.read_text() for p in [*SCRIPTS.glob("moemill_tools/**/*.py"), SCRIPTS / "moemill_io.py"]]
    found = {name for text in code for name in re.findall(r'^ *(?:import|from) (\w+)|need\("(\w+)', text, re.M)}
    named = {a or b for a, b in found} - set(sys.stdlib_module_names if hasattr(sys, "stdlib_module_names") else ())
    imported = {name for name in ("h5py", "numpy", "jinja2", "tqdm", "matplotlib", "pyarrow", "zstandard") if name in named}
    if hasattr(sys, "stdlib_module_names"): check(named == imported | {"moemill_io"}, "another package is imported: name it here and in the recipes", named)
    check(imported >= {"h5py", "numpy", "zstandard", "pyarrow"}, imported)
    debian = {f"python3-{name}" for name in imported - {"pyarrow", "numpy"}}  # there is no pyarrow there, and numpy comes with h5py
    [spack] = SCRIPTS.glob("spack/packages/*/package.py")
    for path, wanted in ((SCRIPTS / "packages.txt", debian), (SCRIPTS / "container/runtime.sh", debian), (SCRIPTS / "tools-requirements.txt", imported),
                         (SCRIPTS / "conda-environment.yml", {name.replace("matplotlib", "matplotlib-base") for name in imported}), (spack, {f"py-{name}" for name in imported})):
        words = set(re.findall(r"[\w.-]+", path.read_text()))
        check(wanted <= words, path, "lacks", wanted - words)
        check("yaml-cpp" not in words, path, "names yaml-cpp, which is not needed")
    libraries = {"hdf5": "libhdf5", "boost": "boost-program", "yaml": "libyaml", "fmt": "libfmt", "spdlog": "spdlog", "nlohmann": "nlohmann", "pcre2": "pcre2", "utf8proc": "utf8proc",
                 "random123": "random123", "openssl": "libssl", "xxhash": "xxhash"}
    for name, of_debian in libraries.items():
        for path in (spack, SCRIPTS / "conda-environment.yml"): check(name in path.read_text(), path, "lacks", name)
        check(of_debian in (SCRIPTS / "packages.txt").read_text(), "packages.txt lacks", of_debian)
        if name not in ("nlohmann", "random123"): check(of_debian in (SCRIPTS / "container/runtime.sh").read_text(), "runtime.sh lacks", of_debian)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]).resolve(), [
        commands_by_another_name, help_is_narrow, recipes_have_what_is_imported], sys.argv[2:])
