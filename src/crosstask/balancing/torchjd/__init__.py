"""Every scalariser and aggregator of TorchJD, behind one adapter.

The only room that imports TorchJD, whose names change with every release. The library is optional:
`pip install "crosstask[balancing]"`, and `crosstask[balancing-solvers]` for methods with a solver.
"""
