"""What ``accelerate_`` did: which layers the engine computes, which PyTorch computes still, and why."""

from __future__ import annotations

from dataclasses import dataclass, field

from onebit.core.tables import plain_table


@dataclass(frozen=True)
class AccelerationRow:
    """One quantized layer.

    Args:
        path: its name in the model; several where it is shared, joined by commas.
        kind: its class.
        codes: what is multiplied, ``"bit x bit"``, ``"int8 x bit"``, ...; empty where it was kept.
        why: the reason for keeping it, empty where it was swapped.
    """

    path: str
    kind: str
    codes: str = ""
    why: str = ""

    @property
    def swapped(self) -> bool:
        """Whether the engine computes the layer."""
        return not self.why


@dataclass
class AccelerationReport:
    """The rows, one for each quantized layer. ``print(report)`` shows a table.

    Args:
        rows: in the order of the model.
        isa: the instruction set of the engine.
        size: bytes of all packed layers.
    """

    rows: list[AccelerationRow] = field(default_factory=list)
    isa: str = ""
    size: int = 0

    @property
    def swapped(self) -> list[AccelerationRow]:
        """The layers that the engine computes."""
        return [row for row in self.rows if row.swapped]

    @property
    def kept(self) -> list[AccelerationRow]:
        """The layers that PyTorch computes still."""
        return [row for row in self.rows if not row.swapped]

    def __str__(self) -> str:
        cells = [(row.path, row.kind, row.codes or "kept", row.why) for row in self.rows]
        table = plain_table(["layer", "class", "codes", "why"], cells)
        engine = f" {self.size:,} bytes, {self.isa}." if self.swapped else ""
        return f"{table}\n\n{len(self.swapped)} layers swapped, {len(self.kept)} kept.{engine}"
