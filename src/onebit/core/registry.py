"""A named collection of one sort of component, with errors that help."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from onebit.core.errors import shown

T = TypeVar("T")


class Registry(Generic[T]):
    """Maps names to components of one sort.

    Args:
        noun: what is kept, in the singular, for error messages: ``"scheme"``.

    Example:
        >>> colours = Registry[int]("colour")
        >>> _ = colours.add("red", 1)
        >>> colours["rad"]
        Traceback (most recent call last):
            ...
        KeyError: "unknown colour 'rad' (did you mean 'red'?); known: red"
    """

    def __init__(self, noun: str) -> None:
        self.noun = noun
        self._items: dict[str, T] = {}
        self._papers: dict[str, tuple[str, ...]] = {}

    def add(self, name: str, item: T, papers: tuple[str, ...] = ()) -> T:
        """Keep ``item`` under ``name`` (``ValueError`` if the name is taken).

        Args:
            name: how it is asked for.
            item: the component.
            papers: keys of the papers it comes from, where its docstring does not cite them or is shared by others.
        """
        if name in self._items:
            raise ValueError(f"{self.noun} {name!r} is registered already")
        self._items[name] = item
        self._papers[name] = papers
        return item

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator form of :meth:`add`."""
        return lambda item: self.add(name, item)

    def __getitem__(self, name: str) -> T:
        if name not in self._items:
            raise KeyError(unknown(self.noun, name, self._items))
        return self._items[name]

    def papers(self, name: str) -> tuple[str, ...]:
        """The keys that were given to :meth:`add`."""
        return self._papers[name]

    def __contains__(self, name: object) -> bool:
        return name in self._items

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def items(self) -> list[tuple[str, T]]:
        return list(self._items.items())


def unknown(noun: str, name: object, known) -> str:
    """One sentence for a name that is not among ``known``: what came, the nearest, what is allowed."""
    names = sorted(map(str, known))
    near = difflib.get_close_matches(str(name)[:100], names, n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    return f"unknown {noun} {shown(name)}{hint}; known: {', '.join(names) or 'none'}"
