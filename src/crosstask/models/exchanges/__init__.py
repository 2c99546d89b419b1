"""Exchanges between tasks, one a file: features of every task in, the same keys and shapes out."""
