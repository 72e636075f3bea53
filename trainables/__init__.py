"""What can be trained: data sets, preprocessing, patches, 3D U-Nets, losses, scores and the training run.

Knows torch, MONAI and nibabel; never Ray or Optuna. Everything here runs in a debugger or a notebook as it is.
"""
