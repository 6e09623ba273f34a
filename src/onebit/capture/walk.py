"""The walk through an exported program that builds its graph."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from typing import Any

import torch
from torch import fx
from torch.export.graph_signature import ConstantArgument, InputKind, OutputKind, TensorArgument
from torch.utils import _pytree as pytree

from onebit import ir
from onebit.capture.builder import Builder
from onebit.capture.rules import CREATES, MOVES, rules
from onebit.capture.values import Constant, Expected, Value, constant, to_dim
from onebit.core.errors import Unsupported
from onebit.ir import dim as dims

LARGEST = 2**24  # elements of a constant that is computed here
PLAIN = (operator.getitem, operator.add, operator.sub, operator.mul, operator.floordiv)
IGNORED = ("aten._assert_tensor_metadata.default", "aten._assert_scalar.default", "aten._assert_async.msg")


def is_plain(program: torch.export.ExportedProgram) -> bool:
    """Whether the program changes nothing in place and has only operators known here: else it must be decomposed first,
    which takes several times as long as the export itself. What does not depend on an input is computed by PyTorch and
    needs no rule."""
    known = rules.keys() | CREATES | {*IGNORED, "aten.arange.default", "aten.sym_size.int"}
    inputs = set(program.graph_signature.user_inputs)
    depends = {node for node in program.graph.nodes if node.op == "placeholder" and node.name in inputs}
    for node in program.graph.nodes:
        if depends.intersection(node.all_input_nodes):
            depends.add(node)
        if node.op == "call_function" and node.target not in PLAIN:
            functional = isinstance(node.target, torch._ops.OpOverload) and not node.target._schema.is_mutable
            if not functional or (node in depends and str(node.target) not in known):
                return False
        elif node.op == "get_attr":
            return False
    return True


class Walk:
    """One walk through an exported program.

    Args:
        program: the program, decomposed.
        dynamic: names of the dynamic axes of each input.
        prefix: path of the model inside the exported module.
    """

    def __init__(
        self, program: torch.export.ExportedProgram, dynamic: Mapping[str, Mapping[int, str]], prefix: str
    ) -> None:
        self.program, self.dynamic, self.prefix = program, dynamic, prefix
        self.builder = Builder()
        self.known: dict[str, Any] = {}
        self.symbols: dict[str, str] = {}
        self.sizes: set[dims.Dim] = set()  # dynamic sizes met as arguments

    def graph(self) -> ir.Graph:
        """The graph of the program."""
        nodes = list(self.program.graph.nodes)
        self._inputs({node.name: node for node in nodes if node.op == "placeholder"})
        for node in nodes:
            if node.op == "call_function" and (node.users or node.target is operator.getitem):
                self.known[node.name] = self._call(node)
        return self.builder.finish(self._outputs(), {"producer": f"onebit {_version()}"})

    # inputs and outputs

    def _inputs(self, placeholders: Mapping[str, fx.Node]) -> None:
        program, specs = self.program, self.program.graph_signature.input_specs
        users = [
            spec.arg for spec in specs if spec.kind is InputKind.USER_INPUT and isinstance(spec.arg, TensorArgument)
        ]
        self._bind_symbols(placeholders, [argument.name for argument in users])
        for spec in specs:
            name = spec.arg.name
            if isinstance(spec.arg, ConstantArgument):
                self.known[name] = spec.arg.value
            elif spec.kind is InputKind.USER_INPUT:
                val = placeholders[name].meta["val"]
                if val.dtype in (torch.float64, torch.float16, torch.bfloat16):
                    raise Unsupported(f"input {name} is {val.dtype}: the graph computes in float32; use model.float()")
                self.known[name] = self.builder.input(name, val.dtype, self._shape(val))
            else:
                table = program.state_dict if spec.target in program.state_dict else program.constants
                self.known[name] = constant(table[spec.target].detach())

    def _bind_symbols(self, placeholders: Mapping[str, fx.Node], names: list[str]) -> None:
        """Which symbol of torch is which dynamic size."""
        for name, axes in self.dynamic.items():
            if name not in names:
                continue
            for axis, given in axes.items():
                size = placeholders[name].meta["val"].shape[axis]
                if isinstance(size, int):
                    raise Unsupported(
                        f"axis {axis} of {name} cannot be dynamic: the program only works for size {size}"
                    )
                symbol = str(size.node.expr)
                if not size.node.expr.is_Symbol or self.symbols.setdefault(symbol, given) != given:
                    was = self.symbols.get(symbol, symbol)
                    raise Unsupported(f"axis {axis} of {name} is {was} in this program, not a size {given} of its own")

    def _outputs(self) -> list[str]:
        names = []
        for spec in self.program.graph_signature.output_specs:
            if spec.kind is not OutputKind.USER_OUTPUT:
                raise Unsupported(
                    f"the model changes {spec.target} in evaluation mode; make it a pure function of its inputs"
                )
            if isinstance(spec.arg, ConstantArgument):
                continue
            value = self.known[spec.arg.name]
            node = next(n for n in self.program.graph.nodes if n.name == spec.arg.name)
            floating = node.meta["val"].dtype.is_floating_point
            value = self.builder.floats(value) if floating else self.builder.materialize(value)
            names.append(self.builder.lay_out(value).name)
        return names

    # nodes

    def _call(self, node: fx.Node) -> Any:
        builder = self.builder
        builder.op, builder.path = str(node.target), self._path(node)
        val = node.meta.get("val")
        if builder.op in IGNORED or (val is None and not node.users):
            return None
        if isinstance(val, (torch.SymInt, int)) and not isinstance(val, bool):
            return val
        if not isinstance(val, (torch.Tensor, tuple, list)):
            return val
        args, kwargs = self._resolve(node.args), self._resolve(node.kwargs)
        if node.target is operator.getitem:
            return args[0][args[1]]
        first = val if isinstance(val, (tuple, list)) else (val,)
        builder.outs = [Expected(self._shape(v), v.dtype) for v in first if isinstance(v, torch.Tensor)]
        folded = self._fold(node, args, kwargs)
        if folded is not None:
            return folded
        if builder.op not in rules:
            raise builder.unsupported(
                "capture has no rule for this operator",
                "replace it by operators that have one, or move it out of the model",
            )
        result = rules[builder.op](builder, *args, **kwargs)
        if isinstance(result, Value) and result.shape != builder.out.shape:
            raise builder.unsupported(
                f"its result has shape {dims.text(result.shape)} here and {dims.text(builder.out.shape)} in PyTorch",
                "report this as an error of onebit",
            )
        return result

    def _fold(self, node: fx.Node, args: Any, kwargs: Any) -> Any:
        """The result where it is constant, computed by PyTorch itself; else None."""
        op, leaves = self.builder.op, pytree.tree_leaves([args, kwargs])
        if any(isinstance(leaf, Value) for leaf in leaves) or not isinstance(node.target, torch._ops.OpOverload):
            return None
        constants = [leaf for leaf in leaves if isinstance(leaf, Constant)]
        dynamic = any(isinstance(leaf, str) and leaf in self.sizes for leaf in leaves) or any(
            c.spread for c in constants
        )
        if op == "aten.arange.default" and dynamic:
            return Constant(torch.zeros(1, dtype=self.builder.out.dtype), self.builder.out.shape, counts=True)
        if dynamic and op not in MOVES and op not in CREATES:
            return None
        if dynamic and not self._commutes(op, args, kwargs):
            return None
        if sum(math.prod(out.at_one) for out in self.builder.outs) > LARGEST:
            return None
        tensors = pytree.tree_map_only(Constant, lambda c: c.tensor, [args, kwargs])
        tensors = pytree.tree_map_only(
            str, lambda s: dims.evaluate(s, dict.fromkeys(self.symbols.values(), 1)) if s in self.sizes else s, tensors
        )
        result = node.target(*tensors[0], **tensors[1])
        counts = any(c.counts for c in constants) and op != "aten.index.Tensor"
        if isinstance(result, torch.Tensor):
            if tuple(result.shape) != self.builder.out.at_one:
                return None
            return Constant(result, self.builder.out.shape, counts)
        if dynamic:
            return None
        return tuple(constant(part) if isinstance(part, torch.Tensor) else part for part in result)

    def _commutes(self, op: str, args: Any, kwargs: Any) -> bool:
        """Whether the operator may be computed once for all entries along a dynamic axis."""
        first = args[0] if args else None
        if op in ("aten.cumsum.default", "aten.diff.default") and isinstance(first, Constant):
            axis = kwargs.get("dim", args[1] if op == "aten.cumsum.default" else args[2] if len(args) > 2 else -1)
            return isinstance(first.shape[axis], int)
        if op == "aten.cat.default":
            axis = kwargs.get("dim", args[1] if len(args) > 1 else 0)
            return isinstance(self.builder.out.shape[axis], int)
        if op == "aten.index.Tensor" and isinstance(first, Constant):
            entries = [(axis, e) for axis, e in enumerate(args[1]) if e is not None]
            return not first.counts and all(isinstance(first.shape[axis], str) == e.counts for axis, e in entries)
        counts = any(isinstance(x, Constant) and x.counts for x in pytree.tree_leaves([args, kwargs]))
        whole = ("aten.slice.Tensor", "aten.unsqueeze.default", "aten.view.default", "aten.clone.default")
        return not counts or op in whole

    def _resolve(self, tree: Any) -> Any:
        """Arguments with nodes replaced by what they are here."""

        def resolve(item: Any) -> Any:
            if isinstance(item, fx.Node):
                item = self.known[item.name]
            if isinstance(item, torch.SymInt):
                item = to_dim(item, self.symbols)
                self.sizes.add(item)
            return item

        return _map(tree, resolve)

    def _shape(self, val: torch.Tensor) -> tuple[dims.Dim, ...]:
        return tuple(to_dim(size, self.symbols) for size in val.shape)

    def _path(self, node: fx.Node) -> str:
        stack = node.meta.get("nn_module_stack") or {}
        path = list(stack.values())[-1][0] if stack else ""
        if path.startswith("_empty"):
            return ""
        if self.prefix and (path == self.prefix or path.startswith(f"{self.prefix}.")):
            path = path[len(self.prefix) + 1 :]
        return path


def _map(tree: Any, function: Any) -> Any:
    """``function`` of every leaf of lists, tuples and dictionaries."""
    if isinstance(tree, dict):
        return {key: _map(value, function) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return (
            [_map(value, function) for value in tree]
            if isinstance(tree, list)
            else tuple(_map(v, function) for v in tree)
        )
    return function(tree)


def _version() -> str:
    from onebit import __version__

    return __version__
