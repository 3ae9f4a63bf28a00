#!/usr/bin/env python3
"""Makes prompts.h5, moemill's input, from files of rows: see --help. The code is in moemill_tools/prompts."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from moemill_tools.prompts.command import main, start  # main is for tests, which call it within their process

if __name__ == "__main__": start()
