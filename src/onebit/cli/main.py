"""The command ``onebit``: which commands there are, and what becomes of their errors."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from onebit.core.errors import sentence

DONE, DOES_NOT_HOLD, CANNOT_RUN = 0, 1, 2


class Command(NamedTuple):
    """Where a command lives, ``"module:function"``, and what it does in a few words."""

    target: str
    summary: str


# Only the module of the command that runs is imported, so `onebit --help` needs no torch and no command line library.
COMMANDS = {
    "demo": Command("onebit.cli.demo:demo", "train a network of bits on real digits, pack it, run it natively, report"),
    "train": Command("onebit.cli.train:train", "train a network, by flags or a recipe file"),
    "sweep": Command("onebit.cli.sweep:sweep", "train every combination of some settings of a recipe file"),
    "eval": Command("onebit.cli.evaluate:evaluate", "accuracy of a trained network on a test set"),
    "summary": Command("onebit.cli.summary:summary", "bits, operations and memory of every layer, before packing"),
    "pack": Command("onebit.cli.pack:pack", "turn a trained network into one small file for the engine"),
    "compress": Command("onebit.cli.compress:compress", "store a packed file's kernels as a tree of differences"),
    "export": Command("onebit.cli.export:export", "write a network as ONNX or QONNX, and compare it with the engine"),
    "run": Command("onebit.cli.run:run", "run a packed file on an image or a test set"),
    "inspect": Command("onebit.cli.inspect:inspect", "the graph of a packed file: shapes, bits, memory, operations"),
    "profile": Command("onebit.cli.profile:profile", "where the time of a run goes, operation by operation"),
    "bench": Command("onebit.cli.bench:bench", "which method works on which problem, at what cost; the engine's speed"),
    "plot": Command("onebit.cli.plot:plot", "draw operators, the bits a network makes of a picture, or corruptions"),
    "list": Command(
        "onebit.cli.catalogue:catalogue", "systems, models, schemes, operators, data sets and more known here"
    ),
    "claim": Command("onebit.cli.claim:claim", "re-check what a paper says: run its experiments, print verdicts"),
    "report": Command("onebit.cli.report:report", "one static site of everything measured so far"),
    "show": Command("onebit.cli.show:show", "one published system: paper, components, claims and verdicts"),
    "support": Command("onebit.cli.catalogue:support", "which reader of the graph supports which kind"),
    "completion": Command("onebit.cli.completion:completion", "a script that completes these words in a shell"),
}

HELP = """usage: onebit COMMAND [options]

Networks of bits: train them in PyTorch, pack them into one small file, run that file at the CPU's speed limit.

{commands}

onebit COMMAND --help explains a command, with an example. onebit --version prints the version.
Exit status: 0 done, 1 does not hold, 2 cannot run, 130 or 143 stopped by a signal.
ONEBIT_DEBUG=1 shows the traceback behind an error.

Example: onebit demo
"""


class UsageError(ValueError):
    """The command line cannot be understood; the text says what is wrong in one sentence."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    Args:
        arguments: what stands after ``onebit`` on the command line; by default that of this process.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    name = arguments[0] if arguments else "--help"
    if name in ("-h", "--help", "help"):
        width = max(map(len, COMMANDS))
        print(HELP.format(commands="\n".join(f"  {n:<{width}}  {c.summary}" for n, c in COMMANDS.items())), end="")
        return DONE
    if name == "--version":
        from onebit import __version__

        print(f"onebit {__version__}")
        return DONE
    with _signals() as received:
        return _guarded(name, arguments[1:], received)


def _guarded(name: str, arguments: list[str], received: list[int]) -> int:
    """Run a command; what stops it becomes a sentence and a status."""
    said = "onebit"
    try:
        if name not in COMMANDS:
            from onebit.core.registry import unknown

            raise UsageError(unknown("command", name, COMMANDS))
        said = f"onebit {name}"
        return _run(name, arguments)
    except BrokenPipeError:
        # The reader of our output (head, less) has gone; stdout goes elsewhere so that the exit does not complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except (Exception, KeyboardInterrupt) as error:
        # Libraries turn an interruption into errors of their own; the signal says what it was.
        if received or isinstance(error, KeyboardInterrupt):
            how = getattr(error, "__notes__", None) or ["the same command starts it anew"]
            print(f"{said}: stopped; {'; '.join(how)}", file=sys.stderr)
            return 128 + (received[0] if received else signal.SIGINT)
        if os.environ.get("ONEBIT_DEBUG"):
            raise
        print(f"{said}: {sentence(error)}", file=sys.stderr)
        return CANNOT_RUN


@contextlib.contextmanager
def _signals() -> Iterator[list[int]]:
    """Interruption and termination raise ``KeyboardInterrupt``; gives the signals that came."""
    received: list[int] = []

    def stop(number: int, frame: object) -> None:
        received.append(number)
        raise KeyboardInterrupt

    ours = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    before = {}
    if threading.current_thread() is threading.main_thread():
        # A program that calls us may have handlers of its own: they stay.
        before = {number: usual for number, usual in ours.items() if signal.getsignal(number) == usual}
    for number in before:
        signal.signal(number, stop)
    try:
        yield received
    finally:
        for number, usual in before.items():
            signal.signal(number, usual)


def _run(name: str, arguments: list[str]) -> int:
    from onebit.cli.parse import parse

    # How long an OpenMP thread waits busily for work, read when torch is imported: the default burns whole time slices
    # of a machine that has other work (training ran 20 times slower), none at all costs half the speed of an idle one.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "100000")
    module, _, attribute = COMMANDS[name].target.partition(":")
    function: Callable = getattr(importlib.import_module(module), attribute)
    call = parse(function, arguments, prog=f"onebit {name}")
    if call is None:
        return DONE
    with _quiet_libraries():
        status = call()
    sys.stdout.flush()
    return DONE if status is None else status


@contextlib.contextmanager
def _quiet_libraries() -> Iterator[None]:
    """Warnings of onebit in one line each; those of libraries, and their logs, for programmers: on request only."""
    level = logging.root.manager.disable
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        if not os.environ.get("ONEBIT_DEBUG"):
            logging.disable(logging.ERROR)
        try:
            yield
        finally:
            logging.disable(level)


def _show_warning(message, category, filename, lineno, file=None, line=None) -> None:
    from onebit.core.errors import OnebitWarning

    if issubclass(category, OnebitWarning):
        print(f"onebit: {' '.join(str(message).split())}", file=sys.stderr)
    elif os.environ.get("ONEBIT_DEBUG"):
        print(warnings.formatwarning(message, category, filename, lineno, line), end="", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
