"""`cmake --install` makes a tree that works from anywhere: also after it was moved, from a different folder, through PATH."""
import os
import pathlib
import re
import shutil
import subprocess
import sys

program, source, work = (pathlib.Path(word).resolve() for word in sys.argv[1:4])
build = program.parent.parent
shutil.rmtree(work, ignore_errors=True)
work.mkdir(parents=True)
made, moved = work / "made", work / "moved here"
subprocess.run(["cmake", "--install", build, "--prefix", made], check=True, stdout=subprocess.DEVNULL)
made.rename(moved)
share = moved / "share/moemill"
elsewhere = work / "elsewhere"
elsewhere.mkdir()
environment = {**os.environ, "PATH": f"{moved}/bin:{os.path.dirname(sys.executable)}:{os.environ['PATH']}", "PYTHONDONTWRITEBYTECODE": "1"}
environment.pop("PYTHONPATH", None)


def said(*command, expect=0):
    done = subprocess.run(list(map(str, command)), cwd=elsewhere, env=environment, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)
    assert done.returncode == expect, f"{command}: {done.returncode}\n{done.stdout}"
    return done.stdout


def completed(*words):
    script = moved / "share/bash-completion/completions/moemill"
    listed = " ".join(f"'{w}'" for w in words)
    return said("bash", "-c", f"complete() {{ :; }}; compopt() {{ :; }}; . '{script}'; COMP_WORDS=({listed}); "
                f"COMP_CWORD={len(words) - 1}; _moemill; printf '%s\\n' \"${{COMPREPLY[@]}}\"").split()


assert said("moemill", "--version").startswith("moemill ")
page = (moved / "share/man/man1/moemill.1").read_text()
for part in (".TH MOEMILL 1", ".SH MOEMILL RUN", ".SH MOEMILL VERIFY", "max_num_seqs", "\\-\\-set"):
    assert part in page, part
assert "moemill\\-prompts" in page and "prompts.py" not in page, "the commands as they are installed"
assert completed("moemill", "ver") == ["verify", "version"], completed("moemill", "ver")
assert "--overwrite" in completed("moemill", "run", "--over")
assert completed("moemill", "run", "--set", "sampling.max_") == ["sampling.max_tokens="]

# The main work with only the installed tree: prompts, run, outputs, report.
(elsewhere / "rows.jsonl").write_text('{"prompt": "Q: What is 7 + 8?\\nA:"}\n{"prompt": "Q: What is 2 + 2?\\nA:"}\n')
for command in ("moemill-prompts", "moemill-outputs", "moemill-report"):
    help = said(command, "--help")
    assert help.startswith(f"usage: {command} ") and "prompts.py" not in help and "outputs.py" not in help, help
    assert said(command, "--nonsense", expect=2).startswith(f"{command}: "), "called by its name"
said("moemill-prompts", "rows.jsonl", "-o", "prompts.h5", "--quiet")
said("moemill", "run", "--model", share / "configs/demo/model", "-i", "prompts.h5", "-o", "out", "--set",
     "sampling.max_tokens=4")
said("moemill-outputs", "out", "-o", "rows-out.jsonl")
assert len((elsewhere / "rows-out.jsonl").read_text().splitlines()) == 2
said("moemill-report", "out")
assert (elsewhere / "out/report.html").stat().st_size > 1000
assert (share / "jobs/one-node.sbatch").exists() and (moved / "share/doc/moemill/LICENSE").exists()

# Shapes that ship with it, under the names in README and help.
few = ["--sequences", "1", "--tokens", "1", "--steps", "1"]
assert f"{share}/configs/demo/model" in said("moemill", "bench", "decode", "--model", "configs/demo/model", *few)
assert "share/moemill/configs/bench/deepseek-0.5b" in said("moemill", "validate", "--model", "configs/bench/deepseek-0.5b")
assert "configs/models/deepseek-v3" in said("moemill", "validate", "--model", "configs/models/deepseek-v3", "--memory-per-node", "9000")
assert "no such folder" in said("moemill", "bench", "decode", "--model", "configs/bench/none", expect=2)
pages = list(moved.rglob("*.md"))
dead = [f"{page.relative_to(moved)}: {link}" for page in pages for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text())
        if not (page.parent / link).exists()]
assert len(pages) > 5 and not dead, dead

# A build folder that gets a different MPI uses that one, and can switch back.
if shutil.which("mpicxx.mpich") and shutil.which("mpicxx.openmpi"):
    (elsewhere / "CMakeLists.txt").write_text("cmake_minimum_required(VERSION 3.25)\nproject(x CXX)\n"
                                              f"include({source}/scripts/cmake/find_mpi.cmake)\n")
    for words, library in ([[], None], [["mpich"], "libmpich"], [[], "libmpich"], [["openmpi"], "openmpi/"]):
        said("cmake", "-B", "made", *(f"-DMPI_CXX_COMPILER=mpicxx.{w}" for w in words))
        found = re.findall(r"MPI_\w+_LIBRARY:\S+=(.*)", (elsewhere / "made/CMakeCache.txt").read_text())
        assert library is None or found and all(library in path for path in found), (words, found)

strays = [p for p in moved.rglob("*") if p.name in ("__pycache__", "CMakeLists.txt")]
assert not strays, strays
print("passed: installed, moved, and the main job run with it")
