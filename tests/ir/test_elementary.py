"""exp, tanh and erf: accurate, odd, right at the edges."""

import math
import re
from pathlib import Path

import numpy as np
import pytest

from onebit.ir import elementary

EXACT = {"exp": math.exp, "tanh": math.tanh, "erf": math.erf}
EDGES = np.float32([0.0, -0.0, np.inf, -np.inf, np.nan])


def sample(step: int) -> np.ndarray:
    """Every ``step``-th float32 by its bits: all exponents, both signs, denormals."""
    return np.arange(0, 2**32, step, dtype=np.uint32).view(np.float32)


def correctly_rounded(name: str, x: np.ndarray) -> np.ndarray:
    def one(value: float) -> float:
        try:
            return EXACT[name](value)
        except OverflowError:
            return math.inf

    with np.errstate(over="ignore"):
        return np.array([one(float(value)) for value in x]).astype(np.float32)


@pytest.mark.parametrize("name", EXACT)
def test_results_are_within_one_ulp_of_the_correctly_rounded_value(name):
    x = np.concatenate(
        [sample(30011), np.linspace(-110, 95, 40001, dtype=np.float32), np.linspace(-4.5, 4.5, 40001, dtype=np.float32)]
    )
    x = x[~np.isnan(x)]
    y, expected = getattr(elementary, name)(x), correctly_rounded(name, x)
    ordered = [
        np.where(bits < 0, -(bits & 0x7FFFFFFF), bits)
        for bits in (v.view(np.int32).astype(np.int64) for v in (y, expected))
    ]
    assert np.abs(ordered[0] - ordered[1]).max() <= 1


@pytest.mark.parametrize("name", ["tanh", "erf"])
def test_tanh_and_erf_are_odd_to_the_bit(name):
    x = sample(70001)
    function = getattr(elementary, name)
    assert np.array_equal(function(-x), -function(x), equal_nan=True)
    assert np.array_equal(np.signbit(function(-x)), ~np.signbit(function(x)))


@pytest.mark.parametrize("name", ["tanh", "erf"])
def test_tanh_and_erf_never_leave_minus_one_to_one(name):
    y = getattr(elementary, name)(sample(70001))
    assert np.all(np.isnan(y) | (np.abs(y) <= 1))


def test_edges_are_exact():
    assert elementary.exp(EDGES)[:4].tolist() == [1, 1, np.inf, 0]
    for function in (elementary.tanh, elementary.erf):
        y = function(EDGES)
        assert y[:4].tolist() == [0, 0, 1, -1]
        assert np.signbit(y[:2]).tolist() == [False, True]
    assert all(np.isnan(getattr(elementary, name)(EDGES)[4]) for name in EXACT)


def test_exp_underflows_gradually_and_overflows_where_float32_does():
    assert elementary.exp(np.float32([-103.0])) == np.float32(1.4e-45)
    assert 0 < elementary.exp(np.float32([-90.0]))[0] < np.finfo(np.float32).tiny
    assert elementary.exp(np.float32([-104.0, -1e30])).tolist() == [0, 0]
    assert np.isfinite(elementary.exp(np.float32([88.72])))[0]
    assert elementary.exp(np.float32([88.73, 1e30])).tolist() == [np.inf, np.inf]


@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (2, 1, 3)])
def test_shape_and_dtype_are_kept(shape):
    for name in EXACT:
        y = getattr(elementary, name)(np.ones(shape, np.float32))
        assert (y.shape, y.dtype) == (shape, np.float32)


def test_a_result_does_not_depend_on_its_neighbours():
    x = sample(900001)
    for name in EXACT:
        function = getattr(elementary, name)
        alone = np.array([function(x[i : i + 1])[0] for i in range(len(x))])
        assert np.array_equal(function(x), alone, equal_nan=True)


def test_constants_are_the_float32_numbers_that_stand_beside_them_in_hexadecimal():
    text = Path(elementary.__file__).read_text()
    pairs = re.findall(r"F\(([-0-9.e+]+)\)  # (-?0x[0-9a-f.]+p[-+]\d+)", text)
    assert len(pairs) > 30
    for decimal, hexadecimal in pairs:
        assert float(decimal) == float.fromhex(hexadecimal) == float(np.float32(decimal))
