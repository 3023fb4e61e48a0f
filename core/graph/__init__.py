"""The compiler: graph, functions, gradients, fusion, planning."""
