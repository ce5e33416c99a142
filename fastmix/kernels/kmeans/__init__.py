"""Assignments of rows to centres."""
