"""Measurements: what is timed was checked first, in interleaved rounds, medians with their spread."""
