"""From a typed function and the words of a command line to a call, with errors of one sentence."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import functools
import inspect
import io
import re
from collections.abc import Callable, Iterator, Sequence

import tyro

from onebit.cli.main import UsageError


def parse(function: Callable, arguments: Sequence[str], prog: str) -> Callable | None:
    """The call of ``function`` that ``arguments`` describe, or ``None`` after ``--help`` was printed.

    Args:
        function: its parameters with their types become the arguments; its docstring, up to ``Args:``, the description.
        arguments: the words after the command's name.
        prog: the command, for the help and errors.

    Raises:
        UsageError: one sentence that names the argument, what was given and what is allowed.
    """
    description = inspect.cleandoc(function.__doc__ or "").partition("\nArgs:")[0].strip()

    # Parsed first and called later, so that an error of the call is never taken for one of the command line.
    @functools.wraps(function)
    def later(*positional, **named):
        return functools.partial(function, *positional, **named)

    captured = io.StringIO()
    try:
        with contextlib.redirect_stderr(captured), _sentences(function, prog, arguments):
            return tyro.cli(
                later,
                args=list(arguments),
                prog=prog,
                description=description,
                config=(tyro.conf.FlagCreatePairsOff,),
            )
    except SystemExit as stop:
        if not stop.code:
            return None
        # A parser without our hook has drawn a box; its words are kept, its lines are not.
        text = " ".join(re.sub(r"[^\x20-\x7e]+", " ", captured.getvalue()).split())
        raise UsageError(text or "the command line cannot be understood; --help explains it") from None


@contextlib.contextmanager
def _sentences(function: Callable, prog: str, arguments: Sequence[str]) -> Iterator[None]:
    """While open, tyro's parse errors are raised as :class:`UsageError` in our words."""
    try:
        from tyro import _errors as events
    except ImportError:  # another version of tyro: its own boxes are condensed by `parse`
        yield
        return

    def flag(argument) -> str:
        return argument.field.extern_name.upper() if argument.is_positional() else argument.lowered.name_or_flags[0]

    def raise_sentence(event) -> None:
        wrong = [
            token for token in arguments if token.startswith("--") and token.partition("=")[0] not in options(function)
        ]
        match event:
            case events.MissingArgs() | events.BadValue() if wrong:  # what is missing is often what was mistyped
                text = _unknown_argument(wrong[0], function)
            case events.MissingArgs(missing_arguments=missing):
                names = ", ".join(flag(a.arg) for a in missing)
                text = f"{names} {'is' if len(missing) == 1 else 'are'} required and not given"
            case events.UnrecognizedArgs(tokens=tokens):
                text = _unknown_argument(tokens[0], function)
            case events.InvalidChoice(argument=argument, value=value, choices=choices):
                near = difflib.get_close_matches(value, choices, n=1)
                hint = f" (did you mean {near[0]!r}?)" if near else ""
                text = f"{flag(argument)} must be one of {', '.join(choices)}, got {value!r}{hint}"
            case events.BadValue(argument=argument, offending_value=None):
                text = f"{flag(argument)} needs a value: {argument.lowered.metavar}"
            case events.InstantiationFailure(message=message, argument=argument) if argument is not None:
                text = _bad_value(flag(argument), " ".join(str(message).split()))
            case events.InstantiationFailure(message=message):
                text = " ".join(str(message).split())
            case _:
                return
        raise UsageError(f"{text}; see {prog} --help")

    with events.on_parse_error(raise_sentence):
        yield


def options(function: Callable) -> list[str]:
    """The options that ``function`` has on the command line, ``--help`` included."""
    names: list[str] = []
    for parameter in inspect.signature(function).parameters.values():
        if dataclasses.is_dataclass(parameter.default):
            names += [field.name for field in dataclasses.fields(parameter.default)]
        elif parameter.kind is not parameter.POSITIONAL_ONLY:
            names.append(parameter.name)
    return [*(f"--{name.replace('_', '-')}" for name in names), "--help"]


def _unknown_argument(token: str, function: Callable) -> str:
    if not token.startswith("-"):
        return f"{token!r} is one argument more than this command takes"
    token = token.partition("=")[0]
    known = options(function)
    near = difflib.get_close_matches(token, known, n=1)
    # The list is long where a recipe's flags are in it, and of no use beside the right answer.
    return f"unknown option {token!r}" + (f" (did you mean {near[0]!r}?)" if near else f"; known: {', '.join(known)}")


def _bad_value(flag: str, said: str) -> str:
    """Python's words for a text that is no number, in ours."""
    number = re.search(
        r"invalid literal for int\(\) with base 10: ('.*')|could not convert string to float: ('.*')", said
    )
    if number:
        return f"{flag} must be {'an integer' if number[1] else 'a number'}, got {number[1] or number[2]}"
    return said if flag in said else f"{flag}: {said}"
