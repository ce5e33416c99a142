"""What a pass reads."""
