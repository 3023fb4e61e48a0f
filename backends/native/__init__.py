"""The native executor: a program as a table of compiled steps, run without Python."""
