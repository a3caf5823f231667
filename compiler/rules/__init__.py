"""Tables: what is true of each operation. README.md holds the laws for writing rows."""
