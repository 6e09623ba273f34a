"""Ways to learn: the training loop, recipes, procedures, checkpoints, evaluation."""

from __future__ import annotations

from onebit.learn.agreement import matthews
from onebit.learn.batches import Batch
from onebit.learn.divergence import Diverged
from onebit.learn.evaluation import Metrics, evaluate, measure, outputs, predict
from onebit.learn.fit import fit
from onebit.learn.history import History, Row
from onebit.learn.procedure import BackPropagation, Procedure, Session
from onebit.learn.recipe import Distillation, Recipe, Stage
from onebit.learn.run import Run, load_run
from onebit.learn.score import ScoreFunction
from onebit.learn.spec import ModelSpec
from onebit.learn.statistics import reestimate
from onebit.learn.train import Job, Result, begin_from, train

__all__ = [
    "BackPropagation",
    "Batch",
    "Distillation",
    "Diverged",
    "History",
    "Job",
    "Metrics",
    "ModelSpec",
    "Procedure",
    "Recipe",
    "Result",
    "Row",
    "Run",
    "ScoreFunction",
    "Session",
    "Stage",
    "begin_from",
    "evaluate",
    "fit",
    "load_run",
    "matthews",
    "measure",
    "outputs",
    "predict",
    "reestimate",
    "train",
]
