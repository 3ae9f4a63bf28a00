#!/usr/bin/env python3
"""Runs a test of this folder with one of two Pythons. Called by ctest, because the environment may be made after CMake ran.

    with_python.py system|venv VENV_PYTHON TEST.py WORDS..."""
import os
import pathlib
import subprocess
import sys

SKIPPED = 77  # some tests within the file could not run here and have reported it

kind, venv, *words = sys.argv[1:]
python = sys.executable if kind == "system" else venv
if not pathlib.Path(python).exists():
    print(f"SKIPPED all: there is no {python}; scripts/tools_venv.sh makes it, from PyPI")
    sys.exit(0)
code = subprocess.run([python, *words], env=dict(os.environ, PYTHONDONTWRITEBYTECODE="1")).returncode
sys.exit(0 if code == SKIPPED else code)
