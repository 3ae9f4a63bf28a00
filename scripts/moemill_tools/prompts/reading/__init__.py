"""Sources of rows: files and folders of every kind that prompts.py takes, opened and read in blocks."""
