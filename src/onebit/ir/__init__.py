"""The graph: kinds, interpreter, passes, cost, the packed file. NumPy and safetensors only."""
