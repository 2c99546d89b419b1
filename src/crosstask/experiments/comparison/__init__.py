"""Comparisons of finished runs: tables, plots, images, and who helps whom."""
