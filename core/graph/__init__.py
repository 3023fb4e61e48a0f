"""The compiler: graph, functions, simplification, fusion, gradients, planning."""
