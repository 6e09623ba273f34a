"""The graph: kinds, interpreter, passes, cost, the packed file. NumPy and safetensors only."""

from onebit.ir import kinds
from onebit.ir.file import dumps, load, loads, save
from onebit.ir.graph import Graph, Node
from onebit.ir.kind import Attribute, Kind, register, registry
from onebit.ir.types import TensorType

__all__ = [
    "Attribute",
    "Graph",
    "Kind",
    "Node",
    "TensorType",
    "dumps",
    "kinds",
    "load",
    "loads",
    "register",
    "registry",
    "save",
]
