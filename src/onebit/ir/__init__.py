"""The graph: kinds, interpreter, passes, cost, the packed file. NumPy and safetensors only."""

from onebit.ir import cost, kinds, passes
from onebit.ir.file import dumps, load, loads, save
from onebit.ir.graph import Graph, Node
from onebit.ir.kind import Attribute, Kind, register, registry
from onebit.ir.support import Rules, support
from onebit.ir.types import TensorType

__all__ = [
    "Attribute",
    "Graph",
    "Kind",
    "Node",
    "Rules",
    "TensorType",
    "cost",
    "dumps",
    "kinds",
    "load",
    "loads",
    "passes",
    "register",
    "registry",
    "save",
    "support",
]
