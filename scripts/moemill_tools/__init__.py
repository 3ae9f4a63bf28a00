"""Modules of scripts/prompts.py, outputs.py and report.py. The commands put the folder above this one on Python's path and call main()
of their module, so nothing has to be installed."""
