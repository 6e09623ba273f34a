"""From a PyTorch module to a graph, through ``torch.export``."""

from __future__ import annotations

import contextlib
import inspect
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch.utils import _pytree as pytree

from onebit import ir, nn
from onebit.capture.walk import Walk, is_plain
from onebit.core.errors import Unsupported
from onebit.nn.layers.quantized import unaccelerated

Dynamic = Mapping[str, Mapping[int, str]]


def from_torch(
    model: torch.nn.Module,
    args: torch.Tensor | Sequence[Any],
    kwargs: Mapping[str, Any] | None = None,
    *,
    dynamic: Dynamic | None = None,
) -> ir.Graph:
    """The graph of ``model`` in evaluation mode.

    The program is traced by ``torch.export`` on the example inputs; layers and operators of onebit appear in it as
    bits and integer codes. Expressions of constants (weight codes, scales, masks) are computed here. The model is
    left as it was.

    Args:
        model: any module whose forward ``torch.export`` can trace, in float32.
        args: positional example inputs; a tensor stands for one of them.
        kwargs: keyword example inputs. Those that ``forward`` does not take are side inputs: they become inputs of
            the graph, and reach layers through ``onebit.nn.context``.
        dynamic: for each tensor input its dynamic axes and their names, ``{"x": {0: "batch"}}``; axes not given are
            static.
            Default: axis 0 of every tensor is ``"batch"``. ``{}``: nothing is dynamic.

    Returns:
        A graph with the model's inputs and outputs in PyTorch's layouts; images inside are channels last.

    Raises:
        Unsupported: an operator without a rule, with its module's path and what to do; a program that cannot be traced.

    Example:
        >>> graph = from_torch(torch.nn.Linear(3, 2), torch.zeros(1, 3))
        >>> str(graph.inputs["input"]), [node.kind for node in graph.nodes]
        ('float32 (batch, 3)', ['linear', 'add'])
    """
    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    positional = (args,) if isinstance(args, torch.Tensor) else tuple(args)
    module, inputs = _by_name(model, positional, dict(kwargs or {}))
    names = dynamic if dynamic is not None else _batches(inputs)
    _check_dynamic(names, inputs)
    inputs = _enlarge(inputs, names)
    with _evaluating(model), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = _export(module, inputs, names)
        return Walk(program, names, "model" if module is not model else "").graph()


def _with_side_inputs(model: torch.nn.Module, names: Sequence[str], side: frozenset[str]) -> torch.nn.Module:
    """``model`` as a module of keyword arguments ``names``, of which those in ``side`` go into the context."""

    def forward(self: Any, **inputs: Any) -> Any:
        with nn.context(**{name: value for name, value in inputs.items() if name in side}):
            return self.model(**{name: value for name, value in inputs.items() if name not in side})

    # torch.export reads the signature, and fails on one that is only **inputs
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    forward.__signature__ = inspect.Signature([inspect.Parameter(name, kind) for name in ("self", *names)])  # type: ignore[attr-defined]
    module: torch.nn.Module = type("WithSideInputs", (torch.nn.Module,), {"forward": forward})()
    module.model = model
    return module


def _by_name(
    model: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[torch.nn.Module, dict[str, Any]]:
    """What to export, and its inputs by name."""
    signature = inspect.signature(model.forward)
    parameters = signature.parameters.values()
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters):
        raise Unsupported(f"{type(model).__name__}.forward takes *args: give its inputs names")
    anything = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
    side = frozenset(name for name in kwargs if name not in signature.parameters and not anything)
    bound = signature.bind(*args, **{name: value for name, value in kwargs.items() if name not in side})
    inputs: dict[str, Any] = {}
    for name, value in bound.arguments.items():
        inputs.update(value if signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD else {name: value})
    if side:
        inputs |= {name: kwargs[name] for name in kwargs if name in side}
        return _with_side_inputs(model, list(inputs), side), inputs
    return model, inputs


def _batches(inputs: Mapping[str, Any]) -> dict[str, dict[int, str]]:
    return {name: {0: "batch"} for name, value in inputs.items() if isinstance(value, torch.Tensor) and value.dim() > 0}


def _check_dynamic(dynamic: Dynamic, inputs: Mapping[str, Any]) -> None:
    for name, axes in dynamic.items():
        value = inputs.get(name)
        if not isinstance(value, torch.Tensor):
            known = ", ".join(n for n, v in inputs.items() if isinstance(v, torch.Tensor))
            raise ValueError(f"dynamic names {name!r}, which is no tensor input; tensor inputs: {known}")
        for axis, symbol in axes.items():
            if not 0 <= axis < value.dim():
                raise ValueError(f"dynamic axis of {name!r} must be 0..{value.dim() - 1}, got {axis}")
            if not isinstance(symbol, str) or not symbol.isidentifier():
                raise ValueError(f"a dynamic axis must have a name such as 'batch', got {symbol!r}")


def _enlarge(inputs: Mapping[str, Any], dynamic: Dynamic) -> dict[str, Any]:
    """The inputs, with dynamic axes of size 0 or 1 repeated to 2: torch.export takes these sizes for fixed ones."""
    enlarged = dict(inputs)
    for name, axes in dynamic.items():
        for axis in axes:
            x = enlarged[name]
            if x.shape[axis] == 0:
                x = x.new_zeros([*x.shape[:axis], 1, *x.shape[axis + 1 :]])
            if x.shape[axis] == 1:
                enlarged[name] = x.repeat([2 if a == axis else 1 for a in range(x.dim())])
    return enlarged


@contextlib.contextmanager
def _evaluating(model: torch.nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients, no layer accelerated; every module gets its own mode back."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        model.eval()
        with torch.no_grad(), unaccelerated(model):
            yield
    finally:
        for module, mode in modes:
            module.training = mode


def _export(module: torch.nn.Module, inputs: dict[str, Any], dynamic: Dynamic) -> torch.export.ExportedProgram:
    sizes: dict[str, Any] = {"batch": torch.export.Dim("batch")}

    def spec(name: str, value: Any) -> Any:
        if not isinstance(value, torch.Tensor):
            return pytree.tree_map(lambda _: None, value)
        axes = dynamic.get(name, {})
        return {axis: sizes.get(symbol, torch.export.Dim.AUTO) for axis, symbol in axes.items()}

    shapes = {name: spec(name, value) for name, value in inputs.items()}
    try:
        program = torch.export.export(module, (), inputs, dynamic_shapes=shapes)
        return program if is_plain(program) else program.run_decompositions({})
    except Unsupported:
        raise
    except Exception as error:  # torch.export raises a dozen types
        text = " ".join(str(error).split())[:600]
        advice = (
            "give the sizes it depends on as static ones (dynamic={})"
            if "batch" in text
            else "see torch.export's advice"
        )
        raise Unsupported(f"torch.export cannot trace {type(module).__name__}: {text}; {advice}") from error
