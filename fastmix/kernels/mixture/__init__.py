"""The pass over the rows of a mixture."""
