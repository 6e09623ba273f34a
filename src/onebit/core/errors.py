"""Errors and warnings that are written for their reader, and checks at the door."""

from __future__ import annotations

import contextlib
import importlib
import math
import reprlib
from collections.abc import Callable, Iterator
from types import ModuleType

#: Import names that the extra `train` brings; the base install runs and inspects packed files without them.
TRAINING = (
    *("torch", "accelerate", "onnx", "onnxruntime", "onnxscript"),
    *("pooch", "matplotlib", "jinja2", "sklearn", "yaml", "joblib"),
)


class OnebitWarning(UserWarning):
    """Something works, but not as well as it could; the text says why."""


class MissingExtra(ImportError):
    """A package of an optional extra is not installed; the text gives the command that installs it."""


class Unsupported(ValueError):
    """A model or graph holds what a reader of the graph cannot handle; the text names it and says what to do."""


def require(module: str, extra: str, purpose: str) -> ModuleType:
    """Import ``module`` or raise :class:`MissingExtra` in one sentence.

    Args:
        module: dotted import name.
        extra: the extra of onebit that brings it.
        purpose: what it is needed for, as a phrase: ``"reading YAML recipes"``.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtra(f"{purpose} needs {module}: pip install 'onebit[{extra}]' ({error})") from error


def shown(value: object, most: int = 80) -> str:
    """The ``repr`` of a value that may be anything, in at most ``most`` characters.

    Example:
        >>> shown([0] * 1_000_000), shown("x" * 1_000_000, most=16)
        ('[0, 0, 0, 0, 0, 0, ...]', "'xxxxx...xxxxx'")
    """
    short = reprlib.Repr()
    short.maxstring = short.maxother = short.maxlong = most - 1
    text = short.repr(value)
    return text if len(text) <= most else f"{text[: most - 3]}..."


#: What reading a file that is not as it was written may raise, besides an error of the system.
UNREADABLE = (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError, MemoryError)


def reason(error: BaseException) -> str:
    """Why a file could not be read, as the end of a sentence; for the errors of :data:`UNREADABLE`.

    Example:
        >>> reason(KeyError("format")), reason(TypeError("'NoneType' object is not iterable"))
        ("it has no 'format'", 'its parts are not of the kinds that they should be')
    """
    if isinstance(error, RecursionError):
        return "it is nested too deep"
    if isinstance(error, MemoryError):
        return "it says that it holds more than there is memory for"
    if isinstance(error, KeyError) and error.args and not str(error.args[0]).count(" "):
        return f"it has no {shown(error.args[0])}"
    if isinstance(error, (TypeError, AttributeError, IndexError)):
        return "its parts are not of the kinds that they should be"
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    if type(error).__name__ == "JSONDecodeError":
        return f"its notes are not valid JSON ({text})"
    plain = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in " ".join(text.split()))
    return plain if len(plain) <= 400 else f"{plain[:397]}..."


def check_range(name: str, value: float, low: float = -math.inf, high: float = math.inf) -> float:
    """``value`` if it is a finite number in ``[low, high]``, else ``ValueError`` naming argument, value and range."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or not low <= value <= high:
        allowed = "finite" if low == -math.inf and high == math.inf else f"{low}..{high}"
        raise ValueError(f"{name} must be {allowed}, got {value!r}")
    return value


def check_positive(name: str, value: float) -> float:
    """``value`` if it is a finite number above 0, else ``ValueError``."""
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not math.isfinite(value) or value <= 0:
        raise ValueError(f"{name} must be a finite number above 0, got {value!r}")
    return value


def sentence(error: BaseException) -> str:
    """The text of ``error`` on one line, for a person, with its notes after it.

    Errors that onebit raises on purpose are sentences already; any other is introduced by its type.

    Example:
        >>> sentence(FileNotFoundError(2, "No such file or directory", "digits.onebit"))
        'digits.onebit does not exist'
        >>> sentence(OSError(28, "No space left on device", "digits.onebit"))
        'digits.onebit: no space left on device'
    """
    return "; ".join([_text(error), *getattr(error, "__notes__", ())])


def _text(error: BaseException) -> str:
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


@contextlib.contextmanager
def resumable(how: Callable[[], str]) -> Iterator[None]:
    """Note on what stops the block - a person, a signal, a disk - how to go on, for :func:`sentence`.

    Args:
        how: gives the note once the block has been stopped; empty: none.
    """
    try:
        yield
    except (KeyboardInterrupt, OSError) as error:
        # An OSError without a number is a refusal of onebit's own, not a failure of the system.
        if isinstance(error, KeyboardInterrupt) or error.errno is not None:
            note = how()
            if note:
                error.add_note(note)
        raise
