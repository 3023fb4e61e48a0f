"""Tables and data sets."""
