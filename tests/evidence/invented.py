"""Records of tracks with invented results: pages and documents do not ask where a number is from."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

from onebit.evidence import sweep
from onebit.evidence.tracks import FLOAT, Plan, Record, registry
from onebit.evidence.tracks.cells import Cell
from onebit.evidence.tracks.run import named

PLANS = {
    "accuracy": Plan(tasks=("digits", "mnist", "fashion-mnist"), methods=("bnn", "xnor++", "react"), seeds=2),
    "architectures": Plan(tasks=("mnist",), architectures=("mlp", "convnet", "resnet20"), methods=("bnn", "react")),
    "robustness": Plan(tasks=("mnist",), methods=("bnn", "react"), seeds=1),
    "training": Plan(tasks=("mnist",), methods=("bnn", "react"), seeds=1),
}
MADE_ON = {"commit": "0123456789abcdef", "cpu": "a processor", "packages": {"torch": "2.13"}}


def result(settings: dict[str, Any]) -> dict[str, Any]:
    """All that any track reads of a cell; the numbers follow from the settings."""
    cell = Cell.of(settings)
    drawn = int(hashlib.sha256(repr(settings).encode()).hexdigest()[:8], 16) / 2**32
    twin = cell.method == FLOAT
    accuracy = 0.95 + 0.03 * drawn if twin else 0.70 + 0.20 * drawn
    return {
        "accuracy": accuracy,
        "score": accuracy,
        "epochs": 8,
        "seconds_per_epoch": 1 + drawn,
        "bit_macs": 0 if twin else 1_000_000,
        "real_macs": 1_100_000 if twin else 100_000,
        "bit_parameters": 0 if twin else 20_000,
        "real_parameters": 21_000 if twin else 1_000,
        "clean": accuracy,
        "corrupted": [accuracy * (0.9 - 0.1 * drawn - 0.05 * severity) for severity in range(5)],
        "seconds": 0.02,
        "float_seconds": 0.02 if twin else 0.016,
        "bytes": 2**20,
        "float_bytes": 2**20,
    }


def rows(track: str, plan: Plan) -> list[sweep.Row]:
    """Of every cell that a track asks for."""
    found = []
    for phase in registry[track].phases(plan):
        for name, settings in named(phase).items():
            key = sweep.key(settings, phase.version)
            found.append(sweep.Row(key, name, settings, phase.version, result(settings), None, 1.0))
    return found


def record(track: str, plan: Plan, date: str = "2026-11-21T12:00:00+00:00", failed: int | None = None) -> Record:
    """Of a run of a track, in which the cell number ``failed`` failed."""
    made = rows(track, plan)
    if failed is not None:
        made[failed] = replace(made[failed], result=None, error="ValueError: invented")
    command = f"onebit bench {track} --scale {plan.scale}"
    found = Record.now(registry[track], plan.scale, command, made)
    return replace(found, date=date, made_on=MADE_ON)
