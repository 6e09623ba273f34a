"""Trained networks that come with the package, and pictures to try them on."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent
NAMES = ("mnist", "digits")


def network(name: str) -> Path:
    """The packed file of a trained network: ``"mnist"`` or ``"digits"``."""
    if name not in NAMES:
        raise ValueError(f"name must be one of {', '.join(NAMES)}, got {name!r}")
    return FOLDER / f"{name}.onebit"


def pictures(name: str) -> list[Path]:
    """Ten pictures for the network, one a class, called by its class."""
    network(name)
    return sorted((FOLDER / name).glob("*.png"))
