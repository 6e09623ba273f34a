"""How two ways to run one network differ: in their outputs, their predictions and their bits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Comparison:
    """Two ways to run one network, on the same samples.

    Args:
        samples: how many.
        predictions_differ: samples whose largest entry of the first output is another one; None where that is no row
            of scores.
        outputs: numbers in the outputs.
        outputs_differ: those that are not the same number; any NaN equals any NaN.
        largest_difference: between two outputs.
        bits: activations of one bit that were compared.
        bits_differ: those that differ.
        samples_with_changed_bit: samples in which at least one of these differs.

    Example:
        >>> same = Comparison.of([np.float32([[1, 2]])], [np.float32([[1, 2]])], [(np.int8([[1]]), np.int8([[1]]))])
        >>> other = Comparison.of([np.float32([[1, 2]])], [np.float32([[3, 2]])], [(np.int8([[1]]), np.int8([[-1]]))])
        >>> both = same + other
        >>> both.samples, both.predictions_differ, both.largest_difference, both.samples_with_changed_bit
        (2, 1, 2.0, 1)
    """

    samples: int
    predictions_differ: int | None
    outputs: int
    outputs_differ: int
    largest_difference: float
    bits: int
    bits_differ: int
    samples_with_changed_bit: int

    @classmethod
    def of(
        cls,
        wanted: Sequence[np.ndarray],
        given: Sequence[np.ndarray],
        bits: Iterable[tuple[np.ndarray, np.ndarray]] = (),
        samples: int | None = None,
    ) -> Comparison:
        """Compare the arrays of one batch.

        Args:
            wanted, given: the outputs, in pairs of one shape.
            bits: pairs of arrays of bits of one shape, ``(samples, ...)`` or, with the samples outermost,
                ``(samples * n, ...)``.
            samples: how many; None: the length of the first output.
        """
        count = len(wanted[0]) if samples is None else samples
        differ = [_differ(a, b) for a, b in zip(wanted, given, strict=True)]
        with np.errstate(invalid="ignore"):
            gaps = [np.abs(a[d].astype(float) - b[d]).max() for a, b, d in zip(wanted, given, differ) if d.any()]
        total = bits_differ = 0
        changed = np.zeros(count, bool)
        for a, b in bits:
            mask = a != b
            total += mask.size
            bits_differ += int(mask.sum())
            if mask.any():
                changed |= mask.reshape(count, -1).any(1) if mask.size % count == 0 else True
        return cls(
            samples=count,
            predictions_differ=_predictions(wanted[0], given[0]),
            outputs=sum(a.size for a in wanted),
            outputs_differ=sum(int(d.sum()) for d in differ),
            largest_difference=float(max(gaps, default=0.0)),
            bits=total,
            bits_differ=bits_differ,
            samples_with_changed_bit=int(changed.sum()),
        )

    def __add__(self, other: Comparison) -> Comparison:
        """Both batches as one."""
        known = self.predictions_differ is not None and other.predictions_differ is not None
        return Comparison(
            self.samples + other.samples,
            (self.predictions_differ or 0) + (other.predictions_differ or 0) if known else None,
            self.outputs + other.outputs,
            self.outputs_differ + other.outputs_differ,
            # NaN stays NaN: max(NaN, 1) depends on the order.
            float(np.maximum(self.largest_difference, other.largest_difference)),
            self.bits + other.bits,
            self.bits_differ + other.bits_differ,
            self.samples_with_changed_bit + other.samples_with_changed_bit,
        )

    def within(self, share: float) -> bool:
        """Whether at most this share of the samples has a changed bit, and at most this share another prediction."""
        worst = max(self.samples_with_changed_bit, self.predictions_differ or 0)
        return worst <= share * self.samples

    def rows(self, peer: str) -> list[list[str]]:
        """Rows of a table; ``peer`` is what the samples were compared with."""
        rows = [[f"samples compared with {peer}", f"{self.samples:,}"]]
        if self.predictions_differ is not None:
            rows.append(["predictions that differ", f"{self.predictions_differ:,}"])
        if self.bits:
            rows.append(["samples with any changed bit", f"{self.samples_with_changed_bit:,}"])
            rows.append(["activation bits that differ", f"{self.bits_differ:,} of {self.bits:,}"])
        rows.append(
            [
                "outputs that differ",
                f"{self.outputs_differ:,} of {self.outputs:,}, by at most {self.largest_difference:.3g}",
            ]
        )
        return rows


def _differ(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Which entries are not the same number."""
    if a.shape != b.shape:
        raise ValueError(f"outputs that are compared must have one shape, got {a.shape} and {b.shape}")
    return (a != b) & ~((a != a) & (b != b))


def _predictions(wanted: np.ndarray, given: np.ndarray) -> int | None:
    """How many rows of scores have their largest entry elsewhere; None for what is no row of scores."""
    if wanted.ndim != 2 or wanted.dtype.kind != "f":
        return None
    return int((wanted.argmax(1) != given.argmax(1)).sum()) if wanted.size else 0
