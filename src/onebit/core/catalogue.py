"""The published systems that onebit implements: what they are, who wrote them, where to read them."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from onebit.core.registry import unknown

DATA = Path(__file__).with_name("systems.toml")


@dataclass(frozen=True)
class System:
    """One published system.

    Args:
        slug: its name in commands and file names.
        number: its place in the catalogue, from 1.
        title, authors, venue, year, link: of the paper.
        wing: the part of the package where most of it lives, or will: ``"nn"``, ``"domains/bayes"``.
        key: of the paper in ``docs/references.bib``; what implements a part of the paper cites it as ``[key]``.
        summary: one sentence in the field's terms.
    """

    slug: str
    number: int
    title: str
    authors: tuple[str, ...]
    venue: str
    year: int
    link: str
    wing: str
    key: str
    summary: str

    @property
    def short_title(self) -> str:
        """The title up to its first colon.

        Example:
            >>> find("biper").short_title
            'BiPer'
        """
        return self.title.partition(":")[0]

    @property
    def citation(self) -> str:
        """Authors, title, venue, year.

        Example:
            >>> find("rnn-review").citation.split(". ")[-1]
            'arXiv, 2015'
        """
        return f"{', '.join(self.authors)}. {self.title}. {self.venue}, {self.year}"


@functools.cache
def systems() -> Mapping[str, System]:
    """All systems by slug, in the order of their numbers.

    Example:
        >>> len(systems()), next(iter(systems()))
        (36, 'biper')
    """
    tables = tomllib.loads(DATA.read_text(encoding="utf-8"))
    made = [System(slug=slug, **table | {"authors": tuple(table["authors"])}) for slug, table in tables.items()]
    return MappingProxyType({system.slug: system for system in sorted(made, key=lambda system: system.number)})


def find(name: str) -> System:
    """The system of that slug, number or key.

    Raises:
        KeyError: there is none; the text says the nearest.

    Example:
        >>> find("5").slug, find("Wu2023").slug
        ('reste', 'reste')
        >>> find("bipr")
        Traceback (most recent call last):
            ...
        KeyError: "unknown system 'bipr' (did you mean 'biper'?); ...
    """
    known = systems()
    if name in known:
        return known[name]
    for system in known.values():
        if name == system.key or (name.isdecimal() and int(name) == system.number):
            return system
    raise KeyError(unknown("system", name, known))
