"""Compiled code only: arrays in, arrays out. No options, no strings; nothing here compiles at import."""
