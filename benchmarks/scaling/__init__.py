"""How training spreads over ranks of MPI: measured on this machine, and predicted for more.

`launch.py` starts ranks, `workloads.py` and `worker.py` are what they do, `reduction.py` times the
sum of gradients by itself, `model.py` predicts a step from single ranks and such sums, and
`measurement.py` holds what it predicts beside what was measured.
"""
