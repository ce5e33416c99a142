"""Tables of numbers from files: text, Arrow and NumPy files, each read once, in constant memory."""
