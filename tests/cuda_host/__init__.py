"""CUDA C++ executed on the CPU, behind CuPy's interface.

The machine's C++ compiler compiles the very sources that NVRTC compiles, and every CUDA thread is a
fiber (`engine.cpp`). It says whether barriers, indices, types and arithmetic are right, in several
orders of threads; it says nothing of a GPU's compiler, of its memory, or of speed.
"""
