"""Columns that are sampling settings of their rows, under every name that other programs give them."""
