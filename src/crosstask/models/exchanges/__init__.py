"""Exchanges between tasks, one a file: features of every task in, the same keys and shapes out.

DenseMTL's equations: Eqs. 1 to 4 (one direction between two tasks) in `xtam`, Eq. 5 (the block that
fuses all directions) in `mteb`. What all exchanges share is in `base`.
"""
