"""What was found by fuzzing stays found: each case ends as :mod:`found` says, in both readers."""

from __future__ import annotations

import numpy as np
import pytest

from onebit import runtime

from . import mutate
from .found import FOUND


@pytest.mark.parametrize("isa", [None, "interpreter"])
@pytest.mark.parametrize("name", FOUND)
def test_a_case_that_was_found_ends_in_its_sentence(name, isa):
    data, engine, reference = FOUND[name]
    said = reference if isa else engine
    if said is not None:
        with pytest.raises(ValueError, match=r".") as error:
            runtime.Model(data, isa=isa)
        assert str(error.value).startswith(said)
        assert mutate.is_sentence(str(error.value))
        return
    outcomes = []
    for reader in (isa, None):
        model = runtime.Model(data, isa=reader, max_memory=1 << 24)
        outcomes.append(mutate.outcome(model, mutate.small_inputs(model, 1, np.random.default_rng(0))))
    assert not mutate.differ(*outcomes)
