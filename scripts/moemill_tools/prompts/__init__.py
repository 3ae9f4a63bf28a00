"""Modules of scripts/prompts.py. command reads the command line, maker reads all sources twice: reading yields rows, plan
decides what becomes of their columns, chat renders conversations, sampling finds settings, convert and write store the result."""
