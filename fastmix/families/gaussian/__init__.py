"""Gaussian components."""
