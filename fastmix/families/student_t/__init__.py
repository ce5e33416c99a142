"""Student t components."""
