"""The task sets of DenseMTL's tables, by the tasks' default names. Imports nothing: help needs no torch."""

S_D = ("segmentation", "depth")
S_D_N = (*S_D, "normals")
S_D_N_E = (*S_D_N, "edges")
