"""What ``quantize_`` did to a model as plain data: written into files, done again to another float model.

A record is a list of steps, one for each call of ``quantize_`` on the model or on a part of it::

    {"at": path of the part, "scheme": {"name": ..., "settings": {...}}, "new_parameters": [...],
     "rows": [[path in the part, class, swapped, why, non_negative], ...]}
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import astuple
from typing import Any

from torch import nn

from onebit.core.errors import UNREADABLE, reason
from onebit.nn.quantizers import Quantizer
from onebit.nn.schemes import rules
from onebit.nn.schemes.report import Report, Row
from onebit.nn.schemes.scheme import Scheme, build, registry
from onebit.nn.schemes.swap import replace, swap

Step = dict[str, Any]


def collect(model: nn.Module) -> list[Step]:
    """The record of ``model``: all calls of ``quantize_`` on it and on its parts.

    Raises:
        ValueError: a scheme that was made by hand, which no name can bring back.
    """
    steps: list[Step] = []
    for path, module in model.named_modules():
        report = getattr(module, "onebit_report", None)
        for told in report.history() if isinstance(report, Report) else []:
            if told.description is None:
                raise ValueError(
                    "only a model quantized by a registered scheme can be saved, this one was made by hand"
                )
            rows = [list(astuple(row)) for row in told.rows]
            new = list(told.new_parameters)
            steps.append({"at": path, "scheme": told.description, "new_parameters": new, "rows": rows})
    return steps


def check(record: Any) -> list[Step]:
    """``record``, read from outside, if it is what :func:`collect` makes.

    Raises:
        ValueError: it is not, or names a scheme or a setting that is not known here; one sentence.
    """
    steps: list[Step] = []
    try:
        for step in record:
            scheme = {"name": str(step["scheme"]["name"]), "settings": dict(step["scheme"]["settings"])}
            rows = [[str(p), str(kind), bool(s), str(why), bool(n)] for p, kind, s, why, n in step["rows"]]
            new = [str(name) for name in step["new_parameters"]]
            steps.append({"at": str(step["at"]), "scheme": scheme, "new_parameters": new, "rows": rows})
    except UNREADABLE as error:
        raise ValueError(f"its record of quantize_ is damaged: {reason(error)}") from error
    for step in steps:
        _scheme(step)
    return steps


def within(steps: list[Step], path: str) -> list[Step]:
    """The part of ``steps`` that lies in the submodule at ``path``, as its own record."""
    if not path:
        return steps
    found: list[Step] = []
    for step in steps:
        rows = [[f"{step['at']}.{row[0]}".strip("."), *row[1:]] for row in step["rows"]]
        new = [f"{step['at']}.{name}".strip(".") for name in step["new_parameters"]]
        inside = [[row[0].removeprefix(f"{path}."), *row[1:]] for row in rows if row[0].startswith(f"{path}.")]
        new = [name.removeprefix(f"{path}.") for name in new if name.startswith(f"{path}.")]
        if inside:
            found.append({"at": "", "scheme": step["scheme"], "new_parameters": new, "rows": inside})
    return found


def replay_(model: nn.Module, record: list[Step]) -> Callable[[], None]:
    """Do to a float ``model`` what ``record``, checked, says; what is of bits already stays as it is.

    Returns:
        A function that takes it back: the float layers with the same parameters.

    Raises:
        ValueError: a layer of the record is not in the model, or cannot be swapped there.
    """
    modules = dict(model.named_modules(remove_duplicate=False))
    old: dict[int, nn.Module] = {}
    new: dict[int, nn.Module] = {}
    told: list[tuple[nn.Module, Report]] = []
    for step in record:
        scheme, rows = _scheme(step), [Row(*row) for row in step["rows"]]
        for row in rows:
            path = f"{step['at']}.{row.path}".strip(".")
            module = modules.get(path)
            if not row.swapped or (module is not None and rules.is_of_bits(module)) or id(module) in new:
                continue
            if module is None or not (rules.is_layer(module) or rules.is_whole(module)):
                raise ValueError(f"the model has no float layer {path!r}, which was swapped when the model was saved")
            new[id(module)] = swap(module, scheme, row.non_negative)
            old[id(new[id(module)])] = module
        if step["at"] in modules and not hasattr(modules[step["at"]], "onebit_report"):
            report = Report(scheme.name, rows, list(step["new_parameters"]), step["scheme"])
            told.append((modules[step["at"]], report))
    replace(model, new)
    for module, report in told:
        report.earlier = getattr(module, "onebit_report", None)
        module.onebit_report = report  # type: ignore[assignment]

    def undo() -> None:
        replace(model, old)
        for module, _ in told:
            module.__dict__.pop("onebit_report", None)

    return undo


def layers(model: nn.Module) -> dict[str, dict[str, Any]]:
    """Every layer of bits and every quantizer in ``model`` by path: its class and, of a quantizer, how it was set.

    Plain attributes only: what is learned or follows a schedule is in tensors.
    """
    found: dict[str, dict[str, Any]] = {}
    for path, module in model.named_modules(remove_duplicate=False):
        if isinstance(module, Quantizer):
            found[path] = {
                f"{part}.{name}".strip("."): value
                for part, child in module.named_modules()
                for name, value in {"class": type(child).__name__, **vars(child)}.items()
                if isinstance(value, (str, int, float, bool, type(None))) and not name.startswith("_")
                if name != "training"
            }
        elif rules.is_of_bits(module):
            found[path] = {"class": type(module).__name__}
    return found


def difference(saved: Mapping[str, Mapping[str, Any]], built: Mapping[str, Mapping[str, Any]]) -> str:
    """The first difference between two results of :func:`layers` as a clause; empty where there is none.

    Of the settings, those that both know are compared.
    """
    for path in [*saved, *built]:
        if path not in built:
            return f"{path!r} is of bits in the file ({saved[path].get('class')}) and not in the model"
        if path not in saved:
            return f"{path!r} is of bits in the model ({built[path].get('class')}) and not in the file"
        for name, value in saved[path].items():
            if name in built[path] and built[path][name] != value:
                return f"{name} of {path!r} is {value!r} in the file, {built[path][name]!r} in the model"
    return ""


def _scheme(step: Step) -> Scheme:
    name, settings = step["scheme"]["name"], step["scheme"]["settings"]
    if name not in registry:
        raise ValueError(f"it needs the scheme {name!r}, which is not registered here; known: {', '.join(registry)}")
    try:
        return build(name, **settings)
    except (TypeError, ValueError, KeyError) as error:
        raise ValueError(f"its scheme {name!r} cannot be built here: {error}") from error
