"""Engines: how passes are arranged. A loop over passes and M-steps; everything that touches a row is in the kernels."""
