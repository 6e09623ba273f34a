"""Each kind: equal to PyTorch where both define the same, and to the conventions where only we do."""

import itertools

import numpy as np
import pytest
import torch
from torch.nn import functional

from onebit.core.errors import Unsupported
from onebit.ir import Graph, TensorType, registry

NAN, INF = np.nan, np.inf


def evaluate(kind, *inputs, bits=(), **attributes):
    """The result of one node; ``bits`` are the positions of the inputs that hold bits."""
    rule = registry[kind]
    graph = Graph()
    arrays = []
    names = []
    for position, array in enumerate(map(np.asarray, inputs)):
        if position in rule.positions:
            names.append(graph.constant(array, bit=position in bits))
        else:
            names.append(f"x{position}")
            dtype = "bit" if position in bits else array.dtype.name
            graph.inputs[f"x{position}"] = TensorType(dtype, array.shape)
            arrays.append(array)
    graph.outputs = [graph.add(kind, *names, **attributes)]
    ((result,), _) = graph.run(*arrays)
    expected = graph.types()[graph.outputs[0]]
    assert result.shape == expected.shape
    return result


def f32(*values):
    return np.array(values, np.float32)


def random_floats(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def random_bits(shape, seed=0):
    return np.random.default_rng(seed).choice(np.int8([-1, 1]), shape)


def same_bits(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


# Convolution

CONVOLUTIONS = [
    {},
    {"padding": (1, 1, 1, 1)},
    {"padding": (0, 2, 1, 0)},
    {"stride": (2, 2), "padding": (1, 1, 1, 1)},
    {"stride": (4, 5)},
    {"dilation": (2, 1), "padding": (2, 2, 0, 0)},
    {"groups": 2, "padding": (1, 0, 0, 1), "stride": (1, 2)},
    {"groups": 6},
]


def torch_conv(x, weight, *, padding=(0, 0, 0, 0), stride=(1, 1), dilation=(1, 1), groups=1, pad_value=0):
    top, bottom, left, right = padding
    x = torch.tensor(x.astype(np.float64)).permute(0, 3, 1, 2)
    x = functional.pad(x, (left, right, top, bottom), value=pad_value)
    weight = torch.tensor(weight.astype(np.float64)).permute(0, 3, 1, 2)
    y = functional.conv2d(x, weight, stride=stride, dilation=dilation, groups=groups)
    return y.permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize("attributes", CONVOLUTIONS)
@pytest.mark.parametrize("pad_value", [0, 1, -1])
def test_convolution_of_bits_is_exact_with_every_padding(attributes, pad_value):
    x = random_bits((2, 7, 6, 6))
    weight = random_bits((12, 3, 2, 6 // attributes.get("groups", 1)), 1)
    y = evaluate("conv", x, weight, bits=(0, 1), pad_value=pad_value, **attributes)
    assert y.dtype == np.int32
    assert np.array_equal(y, torch_conv(x, weight, pad_value=pad_value, **attributes))


@pytest.mark.parametrize("attributes", CONVOLUTIONS)
@pytest.mark.parametrize(("dtype", "weight_is_bits"), list(itertools.product([np.int8, np.uint8], [False, True])))
def test_convolution_of_integers_is_exact(attributes, dtype, weight_is_bits):
    rng = np.random.default_rng(0)
    limits = np.iinfo(dtype)
    x = rng.integers(limits.min, limits.max, (2, 7, 6, 6), dtype, endpoint=True)
    shape = (12, 3, 2, 6 // attributes.get("groups", 1))
    weight = random_bits(shape) if weight_is_bits else rng.integers(-128, 128, shape, np.int8)
    y = evaluate("conv", x, weight, bits=(1,) if weight_is_bits else (), **attributes)
    assert y.dtype == np.int32
    assert np.array_equal(y, torch_conv(x, weight, **attributes))


@pytest.mark.parametrize("attributes", CONVOLUTIONS)
@pytest.mark.parametrize("weight_is_bits", [False, True])
def test_convolution_of_floats_is_close_to_pytorch(attributes, weight_is_bits):
    x = random_floats((2, 7, 6, 6))
    shape = (12, 3, 2, 6 // attributes.get("groups", 1))
    weight = random_bits(shape) if weight_is_bits else random_floats(shape, 1)
    y = evaluate("conv", x, weight, bits=(1,) if weight_is_bits else (), **attributes)
    assert y.dtype == np.float32
    np.testing.assert_allclose(y, torch_conv(x, weight, **attributes), rtol=1e-5, atol=1e-5)


def test_integer_sums_beyond_float32_are_exact():
    x = np.full((1, 1, 1, 4000), 255, np.uint8)
    weight = np.full((1, 1, 1, 4000), 127, np.int8)
    weight[..., 0] = 126
    assert evaluate("conv", x, weight).item() == 255 * (127 * 4000 - 1)


def test_float_sums_run_over_rows_columns_and_channels_from_plus_zero():
    x, weight = random_floats((1, 3, 4, 5)), random_floats((2, 2, 3, 5), 1)
    y = evaluate("conv", x, weight)
    for output, row, column in np.ndindex(2, 2, 2):
        acc = np.float32(0)
        for i, j, c in np.ndindex(2, 3, 5):
            acc = acc + x[0, row + i, column + j, c] * weight[output, i, j, c]
        assert same_bits(y[0, row, column, output], acc)


def test_a_padded_float_tap_multiplies_its_pad_value():
    y = evaluate(
        "conv", f32(2).reshape(1, 1, 1, 1), f32(3, 5, 7).reshape(1, 1, 3, 1), padding=(0, 0, 1, 1), pad_value=-1
    )
    assert y.item() == -3 + 2 * 5 - 7


def test_a_sum_of_negative_zeros_is_plus_zero():
    y = evaluate("linear", f32(-0.0, -0.0).reshape(1, 2), f32(1, 1).reshape(1, 2))
    assert not np.signbit(y).item()


@pytest.mark.parametrize("shape", [(3, 8), (8,), (2, 3, 8), (0, 8)])
def test_linear_is_a_product_with_every_leading_shape(shape):
    x, weight = random_floats(shape), random_floats((5, 8), 1)
    np.testing.assert_allclose(evaluate("linear", x, weight), x @ weight.T, rtol=1e-5, atol=1e-6)
    bits, codes = random_bits(shape), random_bits((5, 8), 1)
    assert np.array_equal(evaluate("linear", bits, codes, bits=(0, 1)), bits.astype(int) @ codes.T)


def test_matmul_adds_in_ascending_order_and_broadcasts():
    a, b = random_floats((2, 1, 3, 7)), random_floats((4, 7, 2), 1)
    y = evaluate("matmul", a, b)
    assert y.shape == (2, 4, 3, 2)
    np.testing.assert_allclose(y, a @ b, rtol=1e-5, atol=1e-5)
    acc = np.float32(0)
    for k in range(7):
        acc = acc + a[1, 0, 2, k] * b[3, k, 1]
    assert same_bits(y[1, 3, 2, 1], acc)
    assert np.array_equal(
        evaluate("matmul", np.zeros((2, 0), np.float32), np.zeros((0, 3), np.float32)), np.zeros((2, 3))
    )


@pytest.mark.parametrize(
    ("x", "weight", "bits", "attributes", "reason"),
    [
        (random_bits((1, 3, 3, 2)), random_floats((1, 1, 1, 2)), (0,), {}, "weight must be int8 or bit"),
        (random_floats((1, 3, 3, 2)), np.ones((1, 1, 1, 2), np.int8), (), {}, "weight must be float32 or bit"),
        (np.ones((1, 3, 3, 2), np.int8), random_bits((1, 1, 1, 2)), (1,), {"pad_value": 1}, "pad_value must be 0"),
        (random_floats((1, 3, 3, 2)), random_floats((1, 1, 1, 3)), (), {}, "must have 3 channels"),
        (random_floats((1, 3, 3, 4)), random_floats((3, 1, 1, 2)), (), {"groups": 2}, "cannot be split into 2 groups"),
        (random_floats((1, 3, 3, 2)), random_floats((1, 4, 1, 2)), (), {}, "less than a window"),
        (random_floats((3, 3, 2)), random_floats((1, 1, 1, 2)), (), {}, "4 dimensions"),
        (np.ones((1, 1, 1, 2**18), np.uint8), np.ones((1, 1, 1, 2**18), np.int8), (), {}, "can leave int32"),
        (random_floats((1, 3, 3, 2)), random_floats((1, 1, 1, 2)), (), {"stride": [0, 1]}, "attribute stride"),
        (
            random_floats((1, 3, 3, 2)),
            random_floats((1, 1, 1, 2)),
            (),
            {"pad_value": 2},
            "attribute pad_value must be one of",
        ),
        (random_floats((1, 3, 3, 2)), random_floats((1, 1, 1, 2)), (), {"strides": [1, 1]}, "did you mean 'stride'"),
    ],
)
def test_a_convolution_that_is_not_defined_is_refused(x, weight, bits, attributes, reason):
    with pytest.raises(ValueError, match=reason) as error:
        evaluate("conv", x, weight, bits=bits, **attributes)
    assert str(error.value).startswith("node 0 (conv): ")


# Pooling


@pytest.mark.parametrize("kernel", [(2, 2), (3, 2), (1, 1)])
@pytest.mark.parametrize("stride", [(1, 1), (2, 3), (4, 4)])
@pytest.mark.parametrize("pad", [0, 1])
def test_pools_equal_pytorch(kernel, stride, pad):
    x = random_floats((2, 7, 8, 3))
    pad = pad if min(kernel) > 1 else 0
    padding = (pad, pad, pad, pad)
    there = torch.tensor(x).permute(0, 3, 1, 2)
    expected = functional.max_pool2d(there, kernel, stride, pad).permute(0, 2, 3, 1).numpy()
    assert np.array_equal(evaluate("max_pool", x, kernel=kernel, stride=stride, padding=padding), expected)
    for include in (True, False):
        expected = (
            functional.avg_pool2d(there, kernel, stride, pad, count_include_pad=include).permute(0, 2, 3, 1).numpy()
        )
        y = evaluate("avg_pool", x, kernel=kernel, stride=stride, padding=padding, count_include_pad=include)
        np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)


def test_max_pool_with_dilation_equals_pytorch():
    x = random_floats((1, 9, 9, 2))
    expected = (
        functional.max_pool2d(torch.tensor(x).permute(0, 3, 1, 2), 3, 2, 1, dilation=2).permute(0, 2, 3, 1).numpy()
    )
    y = evaluate("max_pool", x, kernel=(3, 3), stride=(2, 2), padding=(1, 1, 1, 1), dilation=(2, 2))
    assert np.array_equal(y, expected)


def test_max_pool_of_bits_is_or():
    x = random_bits((2, 5, 5, 3))
    y = evaluate("max_pool", x, bits=(0,), kernel=(2, 2), stride=(2, 2), padding=(0, 1, 0, 1))
    assert y.dtype == np.int8
    assert np.array_equal(y[:, 0, 0], x[:, :2, :2].max((1, 2)))
    assert np.array_equal(y[:, 2, 2], x[:, 4, 4])


def test_max_pool_keeps_nan_and_the_later_of_equal_zeros():
    pool = {"kernel": (1, 2), "stride": (1, 1)}
    y = evaluate("max_pool", f32(NAN, 1, 2, NAN, -0.0, 0.0, -0.0).reshape(1, 1, 7, 1), **pool).reshape(-1)
    assert np.isnan(y[[0, 2, 3]]).all()
    assert y[1] == 2
    assert np.signbit(y[4:]).tolist() == [False, True]


@pytest.mark.parametrize(
    ("size", "attributes"),
    [
        (4, {"kernel": (2, 2), "stride": (1, 1), "padding": (2, 0, 0, 0)}),
        (4, {"kernel": (2, 2), "stride": (1, 1), "padding": (0, 2, 0, 0)}),
        (1, {"kernel": (2, 1), "stride": (1, 1), "padding": (1, 1, 0, 0), "dilation": (2, 1)}),
    ],
)
def test_a_window_with_no_tap_inside_is_refused(size, attributes):
    with pytest.raises(ValueError, match="no tap inside"):
        evaluate("max_pool", random_floats((1, size, size, 1)), **attributes)


# Elementwise


def test_sign_of_both_zeros_is_plus_one_and_of_nan_minus_one():
    assert evaluate("sign", f32(0.0, -0.0, NAN, 1e-45, -1e-45, INF, -INF)).tolist() == [1, 1, -1, 1, -1, 1, -1]


def test_maximum_and_minimum_take_the_second_of_equals_and_propagate_nan():
    a, b = f32(NAN, 1, 0.0, -0.0, 2), f32(1, NAN, -0.0, 0.0, 1)
    for kind, last in (("max", 2), ("min", 1)):
        y = evaluate(kind, a, b)
        assert np.isnan(y[:2]).all()
        assert np.signbit(y[2:4]).tolist() == [True, False]
        assert y[4] == last


def test_relu_of_negative_zero_is_plus_zero_and_of_nan_nan():
    y = evaluate("relu", f32(-0.0, -1, 2, NAN))
    assert not np.signbit(y[:2]).any()
    assert y[2] == 2
    assert np.isnan(y[3])


@pytest.mark.parametrize("kind", ["add", "sub", "mul", "div"])
def test_arithmetic_rounds_once_and_broadcasts(kind):
    a, b = random_floats((3, 1, 4)), random_floats((2, 1), 1)
    y = evaluate(kind, a, b)
    functions = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide}
    assert same_bits(y, functions[kind](a.astype(np.float64), b.astype(np.float64)).astype(np.float32))


def test_quantize_rounds_half_to_even_clamps_and_gives_nan_the_zero_point():
    x = f32(0.5, 1.5, 2.5, -0.5, -1.5, 1e30, -1e30, NAN, INF, -INF)
    y = evaluate("quantize", x, f32(1), zero_point=1, low=-100, high=100)
    assert y.dtype == np.int8
    assert y.tolist() == [1, 3, 3, 1, -1, 100, -100, 1, 100, -100]
    y = evaluate("quantize", x, f32(1), zero_point=128, low=0, high=255, dtype="uint8")
    assert y.tolist() == [128, 130, 130, 128, 126, 255, 0, 128, 255, 0]


def test_quantize_with_limits_outside_its_dtype_is_refused():
    for attributes in ({"high": 128}, {"dtype": "uint8"}, {"zero_point": 5, "low": 6}):
        with pytest.raises(ValueError, match="low <= zero_point <= high"):
            evaluate("quantize", f32(1), f32(1), **attributes)


def test_threshold_compares_in_the_sense_of_each_channel():
    x = np.int32([[3, 3], [4, 4], [5, 5]])
    y = evaluate("threshold", x, np.int32([4, 4]), np.int8([1, -1]), bits=(2,))
    assert y.tolist() == [[-1, 1], [1, 1], [1, -1]]


def test_affine_rounds_the_integer_the_product_and_the_sum():
    x = np.int32([[2**24 + 1], [-7]])
    scale, shift = f32(0.1), f32(0.3)
    product = x.astype(np.float32) * scale
    assert same_bits(evaluate("affine", x, scale, shift), product + shift)


def test_prelu_and_clip_follow_their_comparisons():
    y = evaluate("prelu", f32(-2, -0.0, 3, NAN), f32(0.5))
    assert y[:3].tolist() == [-1, 0, 3]
    assert np.isnan(y[3])
    y = evaluate("clip", f32(-2, 0.25, 3, NAN), low=-1, high=1)
    assert y[:3].tolist() == [-1, 0.25, 1]
    assert np.isnan(y[3])


def test_cast_truncates_and_gives_zero_for_what_does_not_fit():
    x = f32(1.9, -1.9, NAN, INF, -INF, 127.9, 128, -128.9, -129, 3e9, -0.5, 255.5, 256)
    assert evaluate("cast", x, dtype="int8").tolist() == [1, -1, 0, 0, 0, 127, 0, -128, 0, 0, 0, 0, 0]
    assert evaluate("cast", x, dtype="uint8").tolist() == [1, 0, 0, 0, 0, 127, 128, 0, 0, 0, 0, 255, 0]
    assert evaluate("cast", f32(2**31, -(2**31), 2147483520), dtype="int32").tolist() == [0, -(2**31), 2147483520]
    assert evaluate("cast", f32(2**63, -(2**63)), dtype="int64").tolist() == [0, -(2**63)]
    assert evaluate("cast", f32(0.0, -0.0, NAN, 0.5), dtype="bool").tolist() == [False, False, True, True]
    with pytest.raises(ValueError, match="cannot be cast to int8"):
        evaluate("cast", np.int32([1]), dtype="int8")
    with pytest.raises(ValueError, match="cannot be cast to bit"):
        evaluate("cast", f32(1), dtype="bit")


@pytest.mark.parametrize("kind", ["sigmoid", "tanh", "erf", "exp", "sqrt", "abs", "neg"])
def test_functions_are_close_to_pytorch(kind):
    x = np.abs(random_floats((50,))) if kind == "sqrt" else random_floats((50,)) * 4
    np.testing.assert_allclose(evaluate(kind, x), getattr(torch, kind)(torch.tensor(x)).numpy(), rtol=1e-6, atol=1e-7)


# Reductions and normalisations


@pytest.mark.parametrize("size", [1, 2, 15, 16, 17, 40, 100])
def test_reductions_are_sums_of_sixteen_partial_results(size):
    x = random_floats((3, size))
    partials = np.zeros((3, 16), np.float32)
    for i in range(size):
        partials[:, i % 16] += x[:, i]
    for half in (8, 4, 2, 1):
        partials = partials[:, :half] + partials[:, half : 2 * half]
    assert same_bits(evaluate("reduce", x, op="sum"), partials[:, 0])
    assert same_bits(evaluate("reduce", x, op="mean", keepdims=True), partials / np.float32(size))
    assert same_bits(evaluate("reduce", x, op="max"), x.max(1))
    assert same_bits(evaluate("reduce", x, op="min"), x.min(1))


def test_a_nan_passes_through_every_reduction():
    x = random_floats((2, 20))
    x[0, 7] = NAN
    for op in ("sum", "mean", "max", "min"):
        assert np.isnan(evaluate("reduce", x, op=op)).tolist() == [True, False]


def test_normalisations_are_close_to_pytorch():
    x, vectors = random_floats((4, 3, 19)), random_floats((4, 19), 1)
    weight, bias, mean, var = *vectors[:3], np.abs(vectors[3]) + np.float32(0.1)
    there = torch.tensor(x)
    np.testing.assert_allclose(evaluate("softmax", x), there.softmax(-1), rtol=1e-5)
    expected = functional.layer_norm(there, (19,), torch.tensor(weight), torch.tensor(bias), 1e-5)
    np.testing.assert_allclose(evaluate("layer_norm", x, weight, bias, eps=1e-5), expected, rtol=1e-4, atol=1e-5)
    expected = (there - torch.tensor(mean)) / torch.sqrt(torch.tensor(var) + 1e-5) * torch.tensor(
        weight
    ) + torch.tensor(bias)
    np.testing.assert_allclose(
        evaluate("batch_norm", x, weight, bias, mean, var, eps=1e-5), expected, rtol=1e-4, atol=1e-5
    )


def test_an_empty_reduction_is_refused():
    for kind, attributes in (("reduce", {"op": "sum"}), ("softmax", {})):
        with pytest.raises(ValueError, match="not empty"):
            evaluate(kind, np.zeros((2, 0), np.float32), **attributes)
    graph = Graph({"x": TensorType("float32", (2, "n"))})
    graph.outputs = [graph.add("softmax", "x")]
    assert graph.run(np.zeros((2, 3), np.float32))[0][0].shape == (2, 3)
    with pytest.raises(ValueError, match="not empty"):
        graph.run(np.zeros((2, 0), np.float32))


# Logic, look-up, shapes


@pytest.mark.parametrize("op", ["eq", "ne", "lt", "le", "gt", "ge"])
def test_comparisons_of_nan_and_zeros_are_those_of_ieee(op):
    a, b = f32(NAN, 0.0, 1), f32(NAN, -0.0, 2)
    assert np.array_equal(
        evaluate("compare", a, b, op=op), getattr(torch, op)(torch.tensor(a), torch.tensor(b)).numpy()
    )


def test_logic_and_selection_broadcast():
    a, b = np.array([[True], [False]]), np.array([True, False])
    assert np.array_equal(evaluate("logical_and", a, b), a & b)
    assert np.array_equal(evaluate("logical_or", a, b), a | b)
    assert np.array_equal(evaluate("logical_not", a), ~a)
    assert evaluate("where", a, np.int8([1, -1]), np.int8([-1, -1]), bits=(1, 2)).tolist() == [[1, -1], [-1, -1]]


def test_embedding_gives_rows_and_refuses_an_index_outside():
    weight = random_floats((4, 3))
    assert np.array_equal(evaluate("embedding", weight, np.int64([[0, 3]])), weight[[[0, 3]]])
    for index in (-1, 4):
        with pytest.raises(ValueError, match=r"index must be 0\.\.3"):
            evaluate("embedding", weight, np.int32([index]))


def test_shapes_are_those_of_numpy():
    x = random_floats((2, 3, 4))
    assert same_bits(evaluate("reshape", x, shape=(6, 4)), x.reshape(6, 4))
    assert same_bits(evaluate("transpose", x, perm=(2, 0, 1)), np.ascontiguousarray(x.transpose(2, 0, 1)))
    assert same_bits(evaluate("concat", x, x, x, axis=1), np.concatenate([x, x, x], 1))
    assert same_bits(np.ascontiguousarray(evaluate("slice", x, axis=2, start=1, step=2)), x[:, :, 1::2].copy())
    assert same_bits(
        evaluate("pad", x, pads=[[0, 0], [1, 0], [0, 2]], value=0.5),
        np.pad(x, [(0, 0), (1, 0), (0, 2)], constant_values=0.5),
    )
    assert same_bits(
        evaluate("broadcast_to", x[:, :1], shape=(2, 3, 4)).copy(), np.broadcast_to(x[:, :1], (2, 3, 4)).copy()
    )


@pytest.mark.parametrize(
    ("kind", "attributes", "reason"),
    [
        ("reshape", {"shape": (5, 5)}, "number of elements differs"),
        ("reshape", {"shape": (-1,)}, "attribute shape"),
        ("transpose", {"perm": (0, 0, 1)}, "perm must hold each"),
        ("slice", {"axis": 3}, "axis must be 0..2"),
        ("slice", {"axis": 0, "start": 2, "stop": 1}, "start <= stop"),
        ("slice", {"axis": 0, "stop": 3}, "start <= stop"),
        ("pad", {"pads": [[0, 0]], "value": 0}, "pads must have one"),
        ("pad", {"pads": [[0, 0]] * 3, "value": NAN}, "finite float32 number"),
        ("broadcast_to", {"shape": (2, 3, 5)}, "cannot be broadcast"),
    ],
)
def test_a_shape_that_does_not_fit_is_refused(kind, attributes, reason):
    with pytest.raises(ValueError, match=reason):
        evaluate(kind, random_floats((2, 3, 4)), **attributes)


# Symbols


def test_symbolic_sizes_pass_through_every_kind_that_can_take_them():
    graph = Graph({"x": TensorType("float32", ("batch", "4*n", 6, 3))})
    weight = graph.constant(random_floats((5, 3, 3, 3)))
    conv = graph.add("conv", "x", weight, stride=[2, 1], padding=[1, 1, 1, 1])
    pool = graph.add("max_pool", conv, kernel=[2, 2], stride=[2, 2])
    both = graph.add("concat", pool, pool, axis=1)
    flat = graph.add("reshape", both, shape=["batch", "30*n"])
    graph.outputs = [conv, pool, flat, graph.add("matmul", flat, graph.add("transpose", flat, perm=[1, 0]))]
    types = graph.types()
    assert types[conv].shape == ("batch", "2*n", 6, 5)
    assert types[pool].shape == ("batch", "n", 3, 5)
    assert types[both].shape == ("batch", "2*n", 3, 5)
    for batch, n in itertools.product([0, 1, 2], [0, 1, 2]):
        outputs, _ = graph.run(random_floats((batch, 4 * n, 6, 3)))
        assert [y.shape for y in outputs] == [(batch, 2 * n, 6, 5), (batch, n, 3, 5), (batch, 30 * n), (batch, batch)]


def test_a_symbolic_window_count_that_is_no_multiple_is_refused():
    graph = Graph({"x": TensorType("float32", (1, "n", 3, 1))})
    graph.outputs = [graph.add("max_pool", "x", kernel=[2, 2], stride=[1, 1])]
    with pytest.raises(ValueError, match="is symbolic"):
        graph.types()


def test_an_unknown_kind_is_unsupported():
    graph = Graph({"x": TensorType("float32", (1,))})
    graph.add("rely", "x", path="block.0")
    with pytest.raises(
        Unsupported, match=r"node 0 \(rely, from block.0\): unknown kind 'rely' \(did you mean 'relu'\?\)"
    ):
        graph.types()
