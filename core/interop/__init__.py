"""Models in other libraries' files: ONNX graphs written from models, and read back."""
