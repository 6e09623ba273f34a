"""The parts of the demo that measure."""

from __future__ import annotations

import numpy as np
import pytest

from onebit.evidence import demo, presets
from onebit.nn import models


def test_the_filters_shown_are_those_of_the_first_convolution_of_bits_and_not_of_an_int8_stem():
    model = models.build("convnet", width=4, depth=1, scheme="biper", stem="int8")
    conv = model.blocks[0].conv
    bits = demo.first_bits(model)
    assert bits is not None
    assert bits.shape == conv.weight.shape
    assert np.array_equal(bits, conv.weight_quantizer.encode(conv.weight).codes.detach())


def test_a_float_network_has_no_filters_of_bits():
    assert demo.first_bits(models.build("convnet", width=4, depth=1)) is None


@pytest.mark.parametrize("name", presets.PRESETS)
def test_every_preset_builds_a_network_of_bits_and_a_twin_without_any_quantizer(name):
    preset = presets.PRESETS[name]
    bits = models.build("convnet", scheme="biper", **preset.sizes)
    twin = models.build("convnet", **preset.sizes | presets.FLOAT_ENDS)
    assert any(hasattr(module, "weight_quantizer") for module in bits.modules())
    assert not any(hasattr(module, "weight_quantizer") for module in twin.modules())
    shapes = {name: parameter.shape for name, parameter in bits.named_parameters()}
    assert all(parameter.shape == shapes[name] for name, parameter in twin.named_parameters())
