"""The table of rules for standard ONNX."""

from __future__ import annotations

from onebit.deploy.export.exporter import Rule
from onebit.ir import Rules

#: kind -> ``rule(exporter, node)``
onnx_rules = Rules[Rule]("onnx", "replace it by kinds that have one")
