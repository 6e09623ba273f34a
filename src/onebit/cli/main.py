"""The command ``onebit``: which commands there are, and what becomes of their errors."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

DONE, DOES_NOT_HOLD, CANNOT_RUN = 0, 1, 2


class Command(NamedTuple):
    """Where a command lives, ``"module:function"``, and what it does in a few words."""

    target: str
    summary: str


# Only the module of the command that runs is imported, so `onebit --help` needs no torch and no command line library.
COMMANDS = {
    "demo": Command("onebit.cli.demo:demo", "train a network of bits on real digits, pack it, run it natively, report"),
    "train": Command("onebit.cli.train:train", "train a network, by flags or a recipe file"),
    "eval": Command("onebit.cli.evaluate:evaluate", "accuracy of a trained network on a test set"),
    "summary": Command("onebit.cli.summary:summary", "bits, operations and memory of every layer, before packing"),
    "pack": Command("onebit.cli.pack:pack", "turn a trained network into one small file for the engine"),
    "export": Command("onebit.cli.export:export", "write a network as ONNX or QONNX, and compare it with the engine"),
    "run": Command("onebit.cli.run:run", "run a packed file on an image or a test set"),
    "inspect": Command("onebit.cli.inspect:inspect", "the graph of a packed file: shapes, bits, memory, operations"),
    "bench": Command("onebit.cli.bench:bench", "time the engine against PyTorch and ONNX Runtime"),
    "plot": Command("onebit.cli.plot:plot", "draw every operator, forward and backward"),
    "list": Command(
        "onebit.cli.catalogue:catalogue", "models, schemes, operators, data sets, kinds and machines known here"
    ),
    "support": Command("onebit.cli.catalogue:support", "which reader of the graph supports which kind"),
}

#: Import names that the extra `train` brings; the base install runs and inspects packed files without them.
TRAINING = (
    *("torch", "accelerate", "onnx", "onnxruntime", "onnxscript"),
    *("pooch", "matplotlib", "jinja2", "sklearn", "yaml"),
)

HELP = """usage: onebit COMMAND [options]

Networks of bits: train them in PyTorch, pack them into one small file, run that file at the CPU's speed limit.

{commands}

onebit COMMAND --help explains a command, with an example. onebit --version prints the version.
Exit status: 0 done, 1 does not hold, 2 cannot run. ONEBIT_DEBUG=1 shows the traceback behind an error.

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
    said = "onebit"
    try:
        if name not in COMMANDS:
            from onebit.core.registry import unknown

            raise UsageError(unknown("command", name, COMMANDS))
        said = f"onebit {name}"
        return _run(name, arguments[1:])
    except KeyboardInterrupt:
        print(f"{said}: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our output (head, less) has gone; stdout goes elsewhere so that the exit does not complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except Exception as error:
        if os.environ.get("ONEBIT_DEBUG"):
            raise
        print(f"{said}: {sentence(error)}", file=sys.stderr)
        return CANNOT_RUN


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


def sentence(error: BaseException) -> str:
    """The text of ``error`` on one line, for a person.

    Errors that onebit raises on purpose are sentences already; any other is introduced by its type.
    """
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    text = " ".join(text.split())
    if type(error) is ModuleNotFoundError and (error.name or "").partition(".")[0] in TRAINING:
        return f"this command needs {error.name}, which is not installed: pip install 'onebit[train]'"
    if isinstance(error, FileNotFoundError) and error.filename and error.strerror:
        return f"{error.filename} does not exist"
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror.lower()}"
    if isinstance(error, (ValueError, KeyError, OSError, ImportError)) and text:
        return text
    known = type(error).__module__.startswith("onebit")
    return text if known and text else f"{type(error).__name__}: {text or 'no text'} (ONEBIT_DEBUG=1 shows where)"


def _show_warning(message, category, filename, lineno, file=None, line=None) -> None:
    from onebit.core.errors import OnebitWarning

    if issubclass(category, OnebitWarning):
        print(f"onebit: {' '.join(str(message).split())}", file=sys.stderr)
    elif os.environ.get("ONEBIT_DEBUG"):
        print(warnings.formatwarning(message, category, filename, lineno, line), end="", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
