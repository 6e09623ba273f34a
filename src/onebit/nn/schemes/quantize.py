"""``quantize_``: swap the layers of a model for layers of bits, in place."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from torch import Tensor, nn

from onebit.nn.quantizers import BinaryActivation, Quantizer
from onebit.nn.schemes import pretrained, rules, signs
from onebit.nn.schemes.report import Report, Row
from onebit.nn.schemes.scheme import Scheme, build
from onebit.nn.schemes.swap import replace, swap

FilterFn = Callable[[nn.Module, str], bool]


def quantize_(
    model: nn.Module,
    scheme: str | Scheme | Callable[[], Scheme],
    filter_fn: FilterFn | None = None,
    example: Any = None,
) -> Report:
    """Swap the layers of ``model`` for layers of bits, in place, and report what was swapped, what was kept and why.

    Linear, one- and two-dimensional convolutions and Hugging Face's ``Conv1D`` are swapped; ``nn.MultiheadAttention``
    and ``nn.TransformerEncoderLayer`` are replaced whole, because in eval mode their fast path reads the children's
    parameters without calling them; so are ``nn.LSTM``, ``nn.GRU`` and ``nn.RNN``. Parameter objects, their names and
    their tying stay, so that an optimizer and a float state dict still fit. An input that cannot be negative gets a
    centred shift before its sign.

    Args:
        model: any module that holds layers.
        scheme: a name (``"biper"``), a :class:`Scheme`, or a factory of one.
        filter_fn: ``filter_fn(module, path) -> bool``: swap it? Instead of the default rules, which keep the first
            convolution, the classifier or head, embeddings, what is tied to them, and 1x1 convolutions of shortcuts.
        example: an input (a tensor, a tuple of arguments, a dict of keyword arguments) to run the model on once, so
            that first and last layer and the sign of inputs are seen instead of guessed from the order of definition.

    Returns:
        The report; ``print`` it.

    Raises:
        KeyError: unknown scheme.
        ValueError: the model is itself a single layer; query, key or value would be swapped without the others.

    Example:
        >>> model = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))
        >>> print(quantize_(model, "bnn"))
        layer  class            why
        -----  ------  -------  ---
        0      Linear  kept     first layer
        2      Linear  swapped
        4      Linear  kept     classifier or head
        <BLANKLINE>
        scheme bnn: 1 layers swapped, 2 kept.
        Without training from here on, expect chance accuracy.
    """
    scheme = build(scheme)
    if rules.is_layer(model) or rules.is_whole(model):
        raise ValueError(f"model must hold layers, got a single {type(model).__name__}: wrap it in nn.Sequential")
    layers, stuck = _survey(model)
    seen = None if example is None else signs.Observation(model, example, [module for _, module in layers])
    idle: list[tuple[str, nn.Module]] = []
    if seen is not None:
        place = {key: index for index, key in enumerate(seen.order)}
        idle = [item for item in layers if id(item[1]) not in place]
        layers = sorted((item for item in layers if id(item[1]) in place), key=lambda item: place[id(item[1])])
    reasons = _chosen(model, layers, scheme, filter_fn)
    structure = signs.by_structure(model)
    report = Report(scheme.name or "(made by hand)")
    known = {id(parameter) for parameter in model.parameters()}
    new: dict[int, nn.Module] = {}
    order = {path: index for index, (path, _) in enumerate(model.named_modules())}
    for path, module in sorted(layers, key=lambda item: order[item[0]]):
        reason = reasons[path]
        if reason is not None:
            report.rows.append(Row(path, type(module).__name__, False, reason))
            continue
        values = None if seen is None else seen.non_negative.get(id(module))
        why = _why_non_negative(module, structure, seen, values)
        new[id(module)] = swap(module, scheme, bool(why), values)
        note = f"input is never negative ({why}): {_remedy(new[id(module)])}" if why else ""
        whole = "replaced whole" if rules.is_whole(module) else ""
        report.rows.append(Row(path, type(module).__name__, True, "; ".join(filter(None, (whole, note))), bool(why)))
    report.rows += [Row(path, type(module).__name__, False, rules.cannot(module)) for path, module in stuck]
    report.rows += [Row(path, type(module).__name__, False, "did not run on the example") for path, module in idle]
    report.rows.sort(key=lambda row: order[row.path])
    replace(model, new)
    report.new_parameters = [name for name, parameter in model.named_parameters() if id(parameter) not in known]
    report.description = scheme.describe() if scheme.name else None
    report.earlier = getattr(model, "onebit_report", None)
    model.onebit_report = report  # type: ignore[assignment]
    pretrained.note(model)
    return report


def _survey(model: nn.Module) -> tuple[list[tuple[str, nn.Module]], list[tuple[str, nn.Module]]]:
    """What could be swapped and what has weights but could not: ``(path, module)``, nothing inside a whole or of
    bits."""
    layers: list[tuple[str, nn.Module]] = []
    stuck: list[tuple[str, nn.Module]] = []
    closed: set[str] = set()
    for path, module in model.named_modules():
        if any(path.startswith(prefix + ".") for prefix in closed):
            continue
        if rules.is_layer(module) or rules.is_whole(module):
            layers.append((path, module))
            closed.add(path)
        elif path and rules.cannot(module):
            stuck.append((path, module))
            closed.add(path)
    return layers, stuck


def _chosen(
    model: nn.Module, layers: list[tuple[str, nn.Module]], scheme: Scheme, filter_fn: FilterFn | None
) -> dict[str, str | None]:
    """Why each layer stays float, None for those to swap."""
    if filter_fn is None:
        simple = [(path, module) for path, module in layers if not rules.is_whole(module)]
        # a linear layer before the last attention is no head
        last = max((i for i, (_, module) in enumerate(layers) if rules.is_whole(module)), default=-1)
        reasons = rules.keep(model, simple, scheme.keep_downsample)
        for path, reason in list(reasons.items()):
            if reason == "classifier or head" and [p for p, _ in layers].index(path) < last:
                del reasons[path]
        chosen = {path for path, _ in layers} - set(reasons)
    else:
        accepted = {path for path, module in layers if _accepts(filter_fn, module, path)}
        reasons = {path: "filter_fn" for path, _ in layers if path not in accepted}
        chosen = accepted
    wrong = rules.incomplete_projections([path for path, _ in layers], chosen)
    if wrong:
        raise ValueError(wrong)
    return {path: reasons.get(path) for path, _ in layers}


def _accepts(filter_fn: FilterFn, module: nn.Module, path: str) -> bool:
    """Whether the filter takes the module; one that is replaced whole, also where it takes any layer inside."""
    if filter_fn(module, path):
        return True
    if not rules.is_whole(module):
        return False
    inside: Iterable[tuple[str, nn.Module]] = module.named_modules(prefix=path)
    return any(
        filter_fn(child, name)
        for name, child in inside
        if name != path and isinstance(child, (nn.Linear, nn.MultiheadAttention))
    )


def _why_non_negative(
    module: nn.Module, structure: dict[int, str], seen: signs.Observation | None, values: Tensor | None
) -> str:
    if seen is not None and id(module) in seen.order:
        return structure.get(id(module), "as the example shows") if values is not None else ""
    return structure.get(id(module), "")


def _remedy(layer: nn.Module) -> str:
    quantizer: Quantizer | None = getattr(layer, "input_quantizer", None)
    if isinstance(quantizer, BinaryActivation) and quantizer.shift_kind != "centred":
        return "its quantizer is made for that"
    if isinstance(quantizer, BinaryActivation) or rules.is_whole(layer) or hasattr(layer, "input_quantizers"):
        return "centred shift before the sign"
    return "its quantizer is made for that" if quantizer is not None else "not quantized"
