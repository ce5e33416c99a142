"""Lloyd's iteration and its assignments."""
