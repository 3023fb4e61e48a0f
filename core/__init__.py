"""The layer API: layers, graph, gradients, planning, training, data, checkpoints."""
