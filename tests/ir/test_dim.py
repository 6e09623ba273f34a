"""Dimensions: integers and monomials of symbols."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onebit.ir import dim as dims

monomials = st.builds(dims.write, st.integers(0, 1000), st.lists(st.sampled_from(["batch", "n", "m"]), max_size=2))
VALUES = {"batch": 3, "n": 5, "m": 7}


@given(monomials)
def test_the_canonical_form_is_kept(dim):
    assert dims.canonical(dim) == dim
    assert dims.write(*dims.parse(dim)) == dim


@given(st.lists(monomials, max_size=4))
def test_a_product_has_the_product_of_the_values(shape):
    expected = 1
    for dim in shape:
        expected *= dims.evaluate(dim, VALUES)
    assert dims.evaluate(dims.product(shape), VALUES) == expected


@given(monomials, monomials)
def test_a_sum_has_the_sum_of_the_values_or_is_refused(a, b):
    try:
        total = dims.add(a, b)
    except ValueError:
        assert dims.parse(a)[1] != dims.parse(b)[1]
    else:
        assert dims.evaluate(total, VALUES) == dims.evaluate(a, VALUES) + dims.evaluate(b, VALUES)


@pytest.mark.parametrize(
    "text", ["", "*", "2*", "batch*", "-1", "0*batch", "02*batch", "2*3", "a b", "1.5", "2**batch", "é"]
)
def test_what_is_no_monomial_is_refused(text):
    with pytest.raises(ValueError, match="a dimension must be"):
        dims.parse(text)


@pytest.mark.parametrize("value", [-1, True, 1.0, None, [1], 2**49])
def test_what_is_no_size_is_refused(value):
    with pytest.raises(ValueError, match="a dimension must be"):
        dims.parse(value)


def test_an_integer_binds_only_itself_and_a_multiple_only_multiples():
    values: dict[str, int] = {}
    assert dims.bind(3, 3, values)
    assert not dims.bind(3, 4, values)
    assert not dims.bind("12*batch", 25, values)
    assert dims.bind("12*batch", 24, values)
    assert values == {"batch": 2}
    assert dims.bind("batch", 2, values)
    assert not dims.bind("batch", 3, values)


def test_broadcasting_takes_a_symbol_with_itself_and_with_one():
    assert dims.broadcast(("batch", 1), ("batch", 3)) == ("batch", 3)
    assert dims.broadcast((), (2, "batch")) == (2, "batch")
    for other in (2, "n", "2*batch"):
        with pytest.raises(ValueError, match="cannot be broadcast"):
            dims.broadcast(("batch",), (other,))
