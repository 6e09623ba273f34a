"""Damages files that the package reads: bytes anywhere, or the JSON in a safetensors header by its grammar."""

from __future__ import annotations

import random
from collections.abc import Iterator

from tests.runtime.mutants import Pairs, change_bytes, change_tree, parse, write
from tests.runtime.packed import raw_file


def damaged(data: bytes, count: int) -> Iterator[bytes]:
    """``count`` files near ``data``; the same ones each time."""
    for number in range(count):
        rng = random.Random(number)
        changed = data
        for _ in range(rng.choice((1, 1, 2, 4))):
            changed = change_bytes(rng, changed)
        yield changed


def with_damaged_notes(data: bytes, key: str, count: int) -> Iterator[bytes]:
    """``count`` safetensors files whose metadata ``key`` holds other JSON than that of ``data``."""
    length = int.from_bytes(data[:8], "little")
    for number in range(count):
        rng = random.Random(number)
        header = parse(data[8 : 8 + length])
        metadata = dict(header)["__metadata__"]
        place = [name for name, _ in metadata].index(key)
        notes = parse(metadata[place][1])
        for _ in range(rng.choice((1, 1, 2, 4))):
            change_tree(rng, notes)
        metadata[place] = (key, write(notes))
        header[[name for name, _ in header].index("__metadata__")] = ("__metadata__", Pairs(metadata))
        yield raw_file(write(header).encode(errors="surrogatepass"), data[8 + length :])


def refusal(read, *arguments) -> str | None:
    """What is wrong with how ``read(*arguments)`` ends; None where it works or says in a sentence why not."""
    from tests.runtime.mutate import is_sentence

    from onebit.core.errors import sentence

    try:
        read(*arguments)
    except (ValueError, OSError) as error:
        text = sentence(error)
        return None if is_sentence(text) else f"no sentence: {text[:400]!r}"
    except Exception as error:  # whatever it is
        return f"{type(error).__name__}: {str(error)[:200]}"
    return None
