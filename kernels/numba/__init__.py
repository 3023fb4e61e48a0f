"""Kernels compiled for this processor."""
