"""Grids of runs, their comparison and their reports."""
