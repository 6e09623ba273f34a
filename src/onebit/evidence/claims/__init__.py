"""Claims: what each paper says, re-checked by a command. One file a paper."""

from onebit.evidence.claims import bibench, biper, mst, pokebnn, reste, stochastic_neurons  # noqa: F401 - each registers its claims
from onebit.evidence.claims.base import (
    FAILS,
    HOLDS,
    IN_PART,
    OUTCOMES,
    REPORTED,
    SCALES,
    Claim,
    Figure,
    Statement,
    Verdict,
    registry,
)

__all__ = [
    "FAILS",
    "HOLDS",
    "IN_PART",
    "OUTCOMES",
    "REPORTED",
    "SCALES",
    "Claim",
    "Figure",
    "Statement",
    "Verdict",
    "registry",
]
