"""Array files, atomic files, encoding."""
