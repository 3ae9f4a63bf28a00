"""Modules of scripts/report.py: files, metrics and rows read the run directory, run combines them, pictures and page show the result; drawing and plan_page show an answer of moemill plan."""
