"""Vector code that other kernels are made of."""
