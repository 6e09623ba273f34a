"""What ``quantize_`` did: which layers were swapped, which were kept, and why."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Row:
    """One layer.

    Args:
        path: its name in the model; several where it is shared, joined by commas.
        kind: the class it had.
        swapped: whether it was swapped.
        why: the reason, or what is special about the swap; may be empty.
        non_negative: whether its input was taken to be never negative.
    """

    path: str
    kind: str
    swapped: bool
    why: str = ""
    non_negative: bool = False


@dataclass
class Report:
    """The rows, the scheme and the parameters that are new. ``print(report)`` shows a table.

    Args:
        scheme: name of the scheme, or ``"(made by hand)"``.
        rows: in the order of the model.
        new_parameters: names of the parameters that the quantizers brought: an optimizer made before does not have
            them.
        description: name and settings of the scheme, as ``onebit.save`` stores them; None where it was made by hand.
        earlier: the report of the call of ``quantize_`` on the same model before this one, or None.
    """

    scheme: str
    rows: list[Row] = field(default_factory=list)
    new_parameters: list[str] = field(default_factory=list)
    description: dict[str, Any] | None = None
    earlier: Report | None = None

    def history(self) -> list[Report]:
        """All reports of this model, the oldest first, this one last."""
        return [*(self.earlier.history() if self.earlier else []), self]

    @property
    def swapped(self) -> list[Row]:
        """The layers that are now of bits."""
        return [row for row in self.rows if row.swapped]

    @property
    def kept(self) -> list[Row]:
        """The layers that were left as they were."""
        return [row for row in self.rows if not row.swapped]

    def __str__(self) -> str:
        head = ("layer", "class", "", "why")
        cells = [(row.path, row.kind, "swapped" if row.swapped else "kept", row.why) for row in self.rows]
        widths = [max(len(line[i]) for line in [head, *cells]) for i in range(3)]
        lines = [
            "  ".join([*(cell.ljust(width) for cell, width in zip(line, widths)), line[3]]).rstrip()
            for line in [head, (*("-" * width for width in widths), "---"), *cells]
        ]
        lines.append("")
        lines.append(f"scheme {self.scheme}: {len(self.swapped)} layers swapped, {len(self.kept)} kept.")
        if self.new_parameters:
            names = ", ".join(self.new_parameters[:3]) + (", ..." if len(self.new_parameters) > 3 else "")
            lines.append(
                f"{len(self.new_parameters)} new parameters ({names}): an optimizer made before does not have them, "
                "add them with optimizer.add_param_group."
            )
        if self.swapped:
            lines.append("Without training from here on, expect chance accuracy.")
        return "\n".join(lines)
