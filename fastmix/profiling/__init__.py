"""The instrument: where an iteration's time goes, and how near that is to what the machine can do."""

from fastmix.profiling.run import profile

__all__ = ["profile"]
