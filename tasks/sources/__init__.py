"""Rows that others made, from wherever they are: an entry of params becomes files, splits of files, rows, and what a row asks."""
