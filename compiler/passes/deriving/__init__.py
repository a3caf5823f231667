"""What deriving is made of."""
