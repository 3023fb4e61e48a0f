"""What is run on the day that there is a GPU: `benchmarks/gpu.sh FOLDER`, in six minutes.

Every part is a module that can be run by itself, in a process of its own, and writes what it found
as JSON. It needs what a machine with a GPU has: NumPy, Numba, CuPy, pytest, and torch, JAX and
scikit-learn as far as they are there; neither rich nor typer.
"""
