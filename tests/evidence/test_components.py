"""What belongs to which system is read off what is registered."""

from __future__ import annotations

import functools

import pytest
from tests.core.test_catalogue import entries

from onebit.core.catalogue import find, systems
from onebit.core.registry import Registry
from onebit.evidence import components
from onebit.evidence.components import components as every


class Cites:
    """A thing after [Farhi2018]. With more words."""


def test_every_cited_key_is_in_the_bibliography():
    assert {key for component in every() for key in component.keys} <= set(entries())


def test_every_component_has_a_sentence():
    assert all(component.text for component in every())


def test_a_registered_citation_is_what_makes_a_system_more_than_planned(monkeypatch):
    system = find("qnn")
    assert components.status(system) == "planned"
    registry = Registry[type]("operator")
    registry.add("gate", Cites)
    registry.add("shared", functools.partial(Cites))
    registry.add("named", functools.partial(Cites), papers=(system.key,))
    monkeypatch.setattr(components, "registries", lambda: {"operators": [registry]})
    components.components.cache_clear()
    try:
        assert [component.name for component in components.of_system(system)] == ["gate", "named"]
        assert components.status(system) == "components"
        assert components.described(Cites) == "A thing after"
    finally:
        components.components.cache_clear()


@pytest.mark.parametrize("slug", ["biper", "reste"])
def test_the_systems_of_the_demo_are_built(slug: str):
    sorts = {component.sort for component in components.of_system(find(slug))}
    assert {"scheme", "operator", "weight quantizer", "activation quantizer"} <= sorts


def test_status_is_one_of_three_words():
    assert {components.status(system) for system in systems().values()} <= {"planned", "components", "claims"}
