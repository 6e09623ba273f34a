"""Records of tracks with invented results: pages and documents do not ask where a number is from."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, replace
from typing import Any

from onebit.evidence import sweep
from onebit.evidence.engine import FORMS, layers, peers
from onebit.evidence.engine.timing import Timing
from onebit.evidence.tracks import FLOAT, Plan, Record, registry
from onebit.evidence.tracks.cells import Cell
from onebit.evidence.tracks.run import named

PLANS = {
    "accuracy": Plan(tasks=("digits", "mnist", "fashion-mnist"), methods=("bnn", "xnor++", "react"), seeds=2),
    "architectures": Plan(tasks=("mnist",), architectures=("mlp", "convnet", "resnet20"), methods=("bnn", "react")),
    "robustness": Plan(tasks=("mnist",), methods=("bnn", "react"), seeds=1),
    "training": Plan(tasks=("mnist",), methods=("bnn", "react"), seeds=1),
    "cost": Plan(tasks=("mnist", "adult"), methods=("bnn", "react")),
    "hardware": Plan(tasks=("mnist", "adult"), methods=("bnn", "react")),
}
MADE_ON = {"commit": "0123456789abcdef", "cpu": "a processor", "packages": {"torch": "2.13"}}


def result(settings: dict[str, Any]) -> dict[str, Any]:
    """All that any track reads of a cell; the numbers follow from the settings."""
    drawn = int(hashlib.sha256(repr(settings).encode()).hexdigest()[:8], 16) / 2**32
    if "layer" in settings:
        return {"engine": {form: _timing(1e-5) for form in FORMS}, "peers": {peers.ORT: _timing((2 + drawn) * 1e-5)}}
    twin = (settings["method"] if "method" in settings else Cell.of(settings).method) == FLOAT
    accuracy = 0.95 + 0.03 * drawn if twin else 0.70 + 0.20 * drawn
    counted = {
        "bit_macs": 0 if twin else 1_000_000,
        "real_macs": 1_100_000 if twin else 100_000,
        "bit_parameters": 0 if twin else 20_000,
        "real_parameters": 21_000 if twin else 1_000,
    }
    if "repeats" in settings:
        seconds = {layers.ENGINE: 1e-4, peers.TORCH: 4e-4, peers.ORT: (2 + drawn) * 1e-4}
        timed = {name: _timing(each) for name, each in seconds.items()}
        return {"seconds": timed, "bytes": 2**10, "float_bytes": 2**14}
    if "network" in settings:
        return counted | {"elementwise": 10_000, "ace": 10**9 if twin else 10**7, "bytes": 2**14 if twin else 2**10}
    return counted | {
        "accuracy": accuracy,
        "score": accuracy,
        "epochs": 8,
        "seconds_per_epoch": 1 + drawn,
        "clean": accuracy,
        "corrupted": [accuracy * (0.9 - 0.1 * drawn - 0.05 * severity) for severity in range(5)],
        "seconds": 0.02,
        "float_seconds": 0.02 if twin else 0.016,
        "bytes": 2**20,
        "float_bytes": 2**20,
    }


def _timing(seconds: float) -> dict[str, Any]:
    return asdict(Timing(seconds, seconds, 3))


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
