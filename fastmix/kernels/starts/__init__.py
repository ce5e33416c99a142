"""Seeding and merging."""
