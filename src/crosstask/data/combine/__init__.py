"""Datasets made of datasets: mixtures, source and target pairs, skipping what is unreadable."""
