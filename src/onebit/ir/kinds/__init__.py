"""The kinds, a file a family; importing this room registers them all. ``docs/kinds.md`` is their definition."""

from onebit.ir.kinds import arithmetic, convolution, logic, normalization, pooling, quantization, reduction, shape

__all__ = ["arithmetic", "convolution", "logic", "normalization", "pooling", "quantization", "reduction", "shape"]
