"""The main job measured once from end to end: train, pack, run, compare."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save as serialize

import onebit
from onebit import data as datasets
from onebit import deploy, ir, runtime
from onebit.core.errors import MissingExtra
from onebit.core.files import write_bytes
from onebit.core.registry import unknown
from onebit.evidence.engine import Timing, latency, peers
from onebit.evidence.presets import FLOAT_ENDS, PRESETS
from onebit.learn import ModelSpec, Result, train
from onebit.nn import schemes


@dataclass(frozen=True)
class Sample:
    """A test example and what the packed file said about it.

    Args:
        image: ``(C, H, W)`` uint8.
        label, predicted: class names.
        probability: of the predicted class.
    """

    image: np.ndarray
    label: str
    predicted: str
    probability: float


@dataclass(frozen=True)
class Exactness:
    """The engine against the interpreter on one instruction set.

    Args:
        isa: the instruction set.
        outputs: how many output values were compared.
        differing_bits: bits in which they differ.
    """

    isa: str
    outputs: int
    differing_bits: int


@dataclass
class Demo:
    """What one run of the demo found; accuracies are shares of the test part, times seconds, sizes bytes."""

    data: str
    scheme: str
    model: str
    sizes: dict[str, Any]
    epochs: int
    seed: int
    train_examples: int
    test_examples: int
    float_accuracy: float
    bits_accuracy: float
    packed_accuracy: float
    float_bytes: int
    packed_bytes: int
    latency: dict[str, Timing]
    isa: str
    exactness: list[Exactness]
    exact_examples: int
    training_seconds: float
    float_training_seconds: float
    packed_file: Path
    versions: dict[str, str]
    bits_history: dict[str, list[float]] = field(default_factory=dict)
    float_history: dict[str, list[float]] = field(default_factory=dict)
    samples: list[Sample] = field(default_factory=list)
    filters: np.ndarray | None = None

    @property
    def differing_bits(self) -> int:
        """Over all instruction sets; 0 is what is promised."""
        return sum(e.differing_bits for e in self.exactness)

    @property
    def smaller(self) -> float:
        """How many times smaller the packed file is than the float32 twin's parameters."""
        return self.float_bytes / self.packed_bytes

    def faster(self, peer: str) -> float:
        """How many times as fast the packed file is as ``peer`` (a key of ``latency``)."""
        return self.latency[peer].median / self.latency[ENGINE].median


ENGINE, TORCH, ONNX = "engine", peers.TORCH, peers.ORT
Say = Callable[[str], None]
SAMPLES = 24


def run(
    data: str = "digits",
    scheme: str = "biper",
    folder: Path = Path("runs/demo"),
    epochs: int | None = None,
    width: int | None = None,
    seed: int = 0,
    repeats: int = 200,
    resume: bool = False,
    progress: bool = True,
    say: Say = lambda text: None,
) -> Demo:
    """Train a network of bits and its float twin, pack the network of bits, run the file, compare all three.

    Args:
        data: a key of ``PRESETS``.
        scheme: how layers become bits.
        folder: where both training runs, the packed file and the twin's weights go.
        epochs, width: instead of the preset's.
        seed: of weights, order of examples and everything else random.
        repeats: of every latency.
        resume: go on with the training runs in ``folder``; else they are begun anew.
        progress: show the training's progress.
        say: called with a line before every step.
    """
    if data not in PRESETS:
        raise ValueError(unknown("data set of the demo:", data, PRESETS))
    if scheme not in schemes.registry:
        raise ValueError(unknown("scheme", scheme, schemes.registry))
    preset = PRESETS[data]
    folder.mkdir(parents=True, exist_ok=True)
    dataset = datasets.load(data)
    sizes = preset.sizes | ({"width": width} if width else {})
    recipe = replace(preset.recipe, epochs=epochs or preset.recipe.epochs, seed=seed)
    trained = []
    for said, chosen, ends in (("a network of bits", scheme, {}), ("its float twin", None, FLOAT_ENDS)):
        say(f"Training {said} on {data}, {recipe.total_epochs} epochs")
        place = folder / f"{data}-{chosen or 'float'}"
        if not resume and place.exists():
            shutil.rmtree(place)
        spec = ModelSpec("convnet", sizes | ends, chosen)
        trained.append(train(spec, dataset, recipe, place, resume=True, progress=progress))
    bits, twin = trained

    say("Packing")
    path, weights = folder / f"{data}.onebit", folder / "float-twin.safetensors"
    example = datasets.normalize(dataset.test.images[:2], dataset.mean, dataset.std)
    meta = {"class_names": list(dataset.class_names), "mean": list(dataset.mean), "std": list(dataset.std)}
    deploy.pack(bits.model, example, path, meta=meta)
    write_bytes(weights, serialize({name: tensor.contiguous() for name, tensor in twin.model.state_dict().items()}))

    say("Running the packed file on the test set")
    engine = runtime.load(path, threads=1)
    inputs = engine.normalize(dataset.test.images.numpy())
    outputs = in_batches(lambda x: only(engine.run(x)), inputs)
    labels = dataset.test.labels.numpy()
    count = min(preset.exact or len(inputs), len(inputs))
    say(f"Comparing engine and interpreter bit for bit on {count} test images")
    exact = in_batches(lambda x: ir.load(path).run(x)[0][0], inputs[:count])
    exactness = []
    for isa in (name for name in runtime.available_isas() if name != "interpreter"):
        model = runtime.load(path, threads=1, isa=isa)
        found = in_batches(lambda x, model=model: only(model.run(x)), inputs[:count])  # type: ignore[misc]
        exactness.append(Exactness(isa, found.size, differing_bits(found, exact)))

    say("Timing one image on one thread")
    times = latencies(engine, twin.model, inputs[:1], folder, repeats)
    names = dataset.class_names
    return Demo(
        data=data,
        scheme=scheme,
        model="convnet",
        sizes=bits.spec.sizes,
        epochs=recipe.total_epochs,
        seed=seed,
        train_examples=len(dataset.train),
        test_examples=len(dataset.test),
        float_accuracy=accuracy(twin),
        bits_accuracy=accuracy(bits),
        packed_accuracy=float((outputs.argmax(1) == labels).mean()),
        float_bytes=weights.stat().st_size,
        packed_bytes=path.stat().st_size,
        latency=times,
        isa=engine.isa,
        exactness=exactness,
        exact_examples=count,
        training_seconds=sum(row.seconds for row in bits.history.rows),
        float_training_seconds=sum(row.seconds for row in twin.history.rows),
        packed_file=path,
        versions={"onebit": onebit.__version__, "torch": torch.__version__, "numpy": np.__version__},
        bits_history=curves(bits.history),
        float_history=curves(twin.history),
        samples=samples(dataset.test.images.numpy(), labels, outputs, names),
        filters=first_bits(bits.model),
    )


def accuracy(result: Result) -> float:
    """Share of the test part that a training's network gets right."""
    return result.history.test.accuracy if result.history.test is not None else math.nan


def only(outputs: np.ndarray | tuple[np.ndarray, ...]) -> np.ndarray:
    """The first output of a network."""
    return outputs[0] if isinstance(outputs, tuple) else outputs


def in_batches(run: Callable[[np.ndarray], np.ndarray], inputs: np.ndarray, size: int = 100) -> np.ndarray:
    """``run`` on ``inputs``, ``size`` rows at a time."""
    return np.concatenate([run(inputs[i : i + size]) for i in range(0, len(inputs), size)])


def latencies(engine, twin, x: np.ndarray, folder: Path, repeats: int) -> dict[str, Timing]:
    """Seconds of one run on ``x``: the engine, the float twin in PyTorch and in ONNX Runtime, taking turns.

    As in the benchmark, three timed runs follow one that is not timed. ONNX Runtime is left out where it is not
    installed.
    """
    tensor, out = torch.from_numpy(x), engine.run(x)
    calls: dict[str, Callable[[], object]] = {
        ENGINE: lambda: engine.run(x, out=out),
        TORCH: lambda: twin(tensor),
    }
    try:
        path = deploy.float_onnx(twin, tensor, folder / "float-twin.onnx")
        calls[ONNX] = peers.session(path, x, threads=1).call
    except MissingExtra:
        pass
    with peers.torch_threads(1):
        return latency(calls, repeats=repeats, block=3)


def curves(history) -> dict[str, list[float]]:
    """Loss, accuracy and flip rate of a training history, one number an epoch; NaN where there is none."""
    return {
        name: [math.nan if getattr(row, name) is None else getattr(row, name) for row in history.rows]
        for name in ("loss", "accuracy", "flip_rate")
    }


def samples(images: np.ndarray, labels: np.ndarray, outputs: np.ndarray, names: Sequence[str]) -> list[Sample]:
    """Test examples to show: a third of them mistakes where there are so many, then the first ones."""
    scores = outputs.astype(np.float64)
    shares = np.exp(scores - scores.max(1, keepdims=True))
    shares /= shares.sum(1, keepdims=True)
    predicted = outputs.argmax(1)
    wrong = np.flatnonzero(predicted != labels)[: SAMPLES // 3]
    chosen = [*wrong, *(i for i in range(len(labels)) if i not in set(wrong))][:SAMPLES]
    return [Sample(images[i], names[labels[i]], names[predicted[i]], float(shares[i, predicted[i]])) for i in chosen]


def first_bits(model) -> np.ndarray | None:
    """The weight of the first convolution of bits: ``(O, I, kH, kW)`` int8 of -1 and +1; ``None`` without one."""
    for module in model.modules():
        quantizer, weight = getattr(module, "weight_quantizer", None), getattr(module, "weight", None)
        if quantizer is not None and quantizer.num_bits == 1 and weight is not None and weight.ndim == 4:
            return np.where(quantizer.encode(weight).codes.detach().numpy() >= 0, 1, -1).astype(np.int8)
    return None


def differing_bits(a: np.ndarray, b: np.ndarray) -> int:
    """In how many bits two arrays of one dtype and shape differ; any NaN equals any NaN.

    Example:
        >>> differing_bits(np.float32([0.0, 1.0]), np.float32([-0.0, 1.0]))
        1
    """
    if a.dtype != b.dtype or a.shape != b.shape:
        raise ValueError(f"arrays must have one dtype and shape, got {a.dtype} {a.shape} and {b.dtype} {b.shape}")
    if np.issubdtype(a.dtype, np.floating):
        both = np.isnan(a) & np.isnan(b)
        a, b = np.where(both, a.dtype.type(0), a), np.where(both, b.dtype.type(0), b)
    x = np.ascontiguousarray(a).view(np.uint8) ^ np.ascontiguousarray(b).view(np.uint8)
    return int(np.unpackbits(x).sum())
