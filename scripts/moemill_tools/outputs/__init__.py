"""Modules of scripts/outputs.py. command and options read the command line, job runs it: reading yields rows, answers takes
their texts apart, formats shapes them, writing stores them. columns, names and layout say which columns there are."""
