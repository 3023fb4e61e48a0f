"""Other libraries on the same work: each in a process of its own, in the mode its users run it in.

Adding a peer: a file with a function `workload`, and a line in `registry.py`.
"""
