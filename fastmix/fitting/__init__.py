"""From a problem to its outcome: runs, checkpoints, the choice of engine."""
