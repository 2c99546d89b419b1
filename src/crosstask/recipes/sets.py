"""The task sets of the papers' tables, by the tasks' default names. Imports nothing: help needs no torch."""

S_D = ("segmentation", "depth")
S_D_N = (*S_D, "normals")
S_D_N_E = (*S_D_N, "edges")
# PASCAL-Context's.
S_P_SAL_N_E = ("segmentation", "human_parts", "saliency", *S_D_N_E[2:])
