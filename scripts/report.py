#!/usr/bin/env python3
"""Makes one self-contained report.html of a run directory: see --help. The code is in moemill_tools/report."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from moemill_tools.report.command import main  # noqa: E402

if __name__ == "__main__": main()
