"""The graph: kinds, interpreter, passes, cost, the packed file. NumPy and safetensors only."""

from onebit.ir import kinds
from onebit.ir.graph import Graph, Node
from onebit.ir.kind import Attribute, Kind, register, registry
from onebit.ir.types import TensorType

__all__ = ["Attribute", "Graph", "Kind", "Node", "TensorType", "kinds", "register", "registry"]
