"""Side inputs that reach layers past ``forward``."""

from __future__ import annotations

import threading

import pytest

from onebit.nn import context


def test_contexts_nest_and_the_inner_value_wins():
    with context(task=1, mask="m"):
        with context(task=2):
            assert (context.get("task"), context.get("mask")) == (2, "m")
        assert context.get("task") == 1
    assert context.get("task") is None
    assert context.get("task", 7) == 7


def test_a_context_closes_when_an_error_leaves_it():
    with pytest.raises(KeyError), context(task=1):
        raise KeyError
    assert context.get("task") is None


def test_a_context_can_be_entered_again():
    outer = context(task=1)
    with outer, context(task=2), outer:
        assert context.get("task") == 1
    assert context.get("task") is None


def test_another_thread_does_not_see_it():
    seen = []
    with context(task=1):
        thread = threading.Thread(target=lambda: seen.append(context.get("task")))
        thread.start()
        thread.join()
    assert seen == [None]
