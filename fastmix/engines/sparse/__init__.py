"""Sparse EM: lists of the components that matter to a tile."""
