"""CUDA C++: sources, what writes more of them, and what launches their kernels."""
