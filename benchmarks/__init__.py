"""Measurements: what is timed was checked first; medians with their spread."""
