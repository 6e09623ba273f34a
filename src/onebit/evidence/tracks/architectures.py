"""The architectures track: one task, networks of several families and about as many parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from onebit.evidence.sweep import Row
from onebit.evidence.tracks.accuracy import Scores, figures, trainings
from onebit.evidence.tracks.cells import Cell
from onebit.evidence.tracks.overall import UNVERIFIED, overall
from onebit.evidence.tracks.tasks import ARCHITECTURES, job
from onebit.evidence.tracks.track import Phase, Plan, Summary, Track, register, with_twin


@register
class Architectures(Track):
    """Every method in every architecture, on the same task."""

    name = "architectures"
    title = "Accuracy of architectures"
    question = "Which architectures keep their accuracy as networks of bits?"
    parts = "families"

    #: Unless others are asked for.
    tasks = ("mnist",)
    architectures = ("convnet", "vgg-small", "resnet20", "mlp", "vit", "gru-classifier")
    seeds = 2
    #: Half of what the accuracy track takes: deep networks take their time.
    examples = 2000

    def phases(self, plan: Plan) -> list[Phase]:
        smoke = plan.scale == "smoke"
        tasks = plan.tasks or (("digits",) if smoke else self.tasks)
        chosen = plan.architectures or (("mlp", "convnet") if smoke else self.architectures)
        return trainings(
            [
                job(task, method, seed, plan.scale, architecture, examples=self.examples)
                for seed in range(plan.seeds or (1 if smoke else self.seeds))
                for architecture in chosen
                for method in with_twin(plan)
                for task in tasks
            ]
        )

    def column(self, settings: Mapping[str, Any]) -> str:
        return Cell.of(settings).architecture

    def summary(self, rows: Sequence[Row]) -> Summary:
        table = Scores(rows, lambda cell: cell.architecture)
        families: dict[str, list[str]] = {}
        for name in table.parts:
            families.setdefault(ARCHITECTURES[name].family, []).append(name)
        said = "; ".join(f"{family}: {', '.join(names)}" for family, names in families.items())
        found = {
            method: overall(
                {f: [ratio for name in names for ratio in table.ratios[method, name]] for f, names in families.items()}
            )
            for method in table.overall
        }
        return Summary(
            ("method", *(f"{part}, %" for part in table.parts), "overall", "mean ratio"),
            [
                [method, *(table.text(method, part) for part in table.parts), *figures(found.get(method))]
                for method in table.methods
            ],
            found,
            (
                *table.notes,
                f"Families: {said}.",
                UNVERIFIED,
            ),
        )
