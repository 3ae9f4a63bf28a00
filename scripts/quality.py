#!/usr/bin/env python3
"""Measures what model.arithmetic: int8 changes in a model's answers: see --help. The code is in moemill_tools/quality."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from moemill_tools.quality.command import main  # noqa: E402

if __name__ == "__main__": main()
