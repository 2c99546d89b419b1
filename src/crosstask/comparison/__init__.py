"""Comparisons of finished runs: tables, plots, pictures, and who helps whom."""
