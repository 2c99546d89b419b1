"""One file a dataset: where its files lie and how they become tensors in SI units."""
