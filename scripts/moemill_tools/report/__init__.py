"""What report.py is made of: files, metrics and rows are what the run directory says, run puts them together, pictures and page
show it."""
