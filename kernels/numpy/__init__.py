"""Vectorised NumPy that writes into memory it is given."""
