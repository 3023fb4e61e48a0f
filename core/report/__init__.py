"""The report of a training: what was measured, as text and as one HTML page."""
