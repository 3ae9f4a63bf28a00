#!/usr/bin/env python3
"""Converts moemill's outputs to files for other programs: see --help. The code is in moemill_tools/outputs."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from moemill_tools.outputs.command import main  # noqa: E402

if __name__ == "__main__": main()
