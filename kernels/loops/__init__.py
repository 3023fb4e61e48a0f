"""Explicit loops over elements, in Python or compiled as they are."""
