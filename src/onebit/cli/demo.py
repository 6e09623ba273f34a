"""``onebit demo``: the main job, once, from end to end."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from onebit.cli.arguments import OptionalInt, OutputWithDefault
from onebit.cli.output import note, print_json, print_table
from onebit.core.errors import check_range, resumable


def demo(
    *,
    data: str = "digits",
    epochs: OptionalInt = None,
    width: OptionalInt = None,
    scheme: str = "biper",
    seed: int = 0,
    output: OutputWithDefault = Path("runs/demo"),
    resume: bool = False,
    json: bool = False,
) -> int:
    """Train a network of bits and its float twin, pack the network of bits into one small file, run that file natively,
    compare accuracy, size, speed and bits, and write a page about it.

    Status 1 says that engine and interpreter do not agree bit for bit.

    Example: onebit demo

    Example: onebit demo --data mnist

    Args:
        data: digits (part of scikit-learn, no download), mnist, fashion-mnist, cifar10-jpeg or cifar10.
        epochs: of each training; as suits the data set by default.
        width: channels of the network; as suits the data set by default.
        scheme: how layers become bits; see `onebit list schemes`.
        seed: of everything random.
        output: folder of the training runs, the packed file and the page.
        resume: go on where a run that was stopped has left off, instead of training anew.
        json: print the numbers as JSON and nothing else.
    """
    if epochs is not None:
        check_range("--epochs", epochs, 1, 10_000)
    if width is not None:
        check_range("--width", width, 1, 4096)
    check_range("--seed", seed, 0, 2**31)
    from onebit.evidence import demo as measure
    from onebit.evidence import page, report

    quiet = (lambda text: None) if json else note
    with resumable(lambda: f"the same command with --resume goes on with the runs in {output}"):
        found = measure.run(data, scheme, output, epochs, width, seed, resume=resume, progress=not json, say=quiet)
    command = shlex.join(["onebit", *_arguments(data, epochs, width, scheme, seed, output)])
    html = output / "index.html"
    page.write(found, html, command)
    if json:
        numbers = {k: v for k, v in vars(found).items() if k not in ("samples", "filters")}
        print_json(numbers | {"differing_bits": found.differing_bits, "times_smaller": found.smaller, "page": html})
    else:
        columns, rows = report.table(found)
        print_table(
            f"{data}, {found.test_examples} test images", columns, rows, [*report.lead(found), *report.notes(found)]
        )
        print(f"\nPacked file: {found.packed_file}\nPage: {html.resolve()}")
    sys.stdout.flush()
    return 1 if found.differing_bits else 0


def _arguments(data: str, epochs: int | None, width: int | None, scheme: str, seed: int, output: Path) -> list[str]:
    """The command line that gives this run, defaults left out."""
    words = ["demo"]
    for name, value, default in (
        ("data", data, "digits"),
        ("epochs", epochs, None),
        ("width", width, None),
        ("scheme", scheme, "biper"),
        ("seed", seed, 0),
        ("output", str(output), "runs/demo"),
    ):
        if value != default:
            words += [f"--{name}", str(value)]
    return words
