"""Operators: values, gradients and schedules against the formulas and numbers of their papers."""

from __future__ import annotations

import math
import types

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from onebit.core.progress import Progress
from onebit.nn import operators
from onebit.nn.operators import (
    ClippedSTESign,
    FourierSign,
    PeriodicSign,
    PowerSign,
    Round,
    Step,
    SwishSign,
    TanhSign,
    Ternary,
    TriangleSign,
    approx_sign,
    curve,
    periodic_sign,
    plot,
    power_sign,
)

SIGNS = ["bounded", "identity", "clipped", "polynomial", "swish", "tanh", "triangle", "fourier", "power"]
ALL = [*SIGNS, "periodic", "step", "ternary", "round"]
GRID = torch.linspace(-3, 3, 241, dtype=torch.float64)


def gradient(operator, x: torch.Tensor, upstream: torch.Tensor | None = None) -> torch.Tensor:
    x = x.clone().requires_grad_()
    y = operator(x)
    (result,) = torch.autograd.grad(y, x, torch.ones_like(y) if upstream is None else upstream)
    return result


def test_the_registry_has_every_operator_once():
    assert sorted(operators.registry) == sorted(ALL)


def test_an_unknown_name_is_an_error_with_a_suggestion():
    with pytest.raises(KeyError, match="did you mean 'polynomial'"):
        operators.build("polynomal")


@pytest.mark.parametrize("name", SIGNS)
def test_signs_of_zeros_nan_and_infinities(name: str):
    x = torch.tensor([0.0, -0.0, math.nan, math.inf, -math.inf, 1e-45, -1e-45])
    assert operators.build(name)(x).tolist() == [1, 1, -1, 1, -1, 1, -1]


@pytest.mark.parametrize("name", ALL)
def test_backward_multiplies_the_upstream_gradient_by_the_gradient(name: str):
    operator = operators.build(name)
    upstream = torch.linspace(-2, 2, len(GRID), dtype=torch.float64)
    assert torch.equal(gradient(operator, GRID, upstream), operator.gradient(GRID, *operator.state()) * upstream)


@pytest.mark.parametrize("name", [name for name in ALL if name != "power"])
def test_the_gradient_is_the_derivative_of_the_surrogate(name: str):
    operator = operators.build(name)
    x = GRID[(GRID.abs() - 1).abs() > 1e-6].clone().requires_grad_()  # away from the corners of clamps
    (expected,) = torch.autograd.grad(operator.surrogate(x).sum(), x)
    assert torch.allclose(gradient(operator, x.detach()), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("o", [1.0, 2.0, 3.0, 10.0])
def test_the_power_gradient_is_the_derivative_of_the_power_between_inner_and_clip(o: float):
    operator = PowerSign(o=o)
    x = GRID[(GRID.abs() > 0.1) & (GRID.abs() <= 1.5)].clone().requires_grad_()
    (expected,) = torch.autograd.grad(operator.surrogate(x).sum(), x)
    assert torch.allclose(gradient(operator, x.detach()), expected, rtol=1e-6)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_dtype_and_shape_are_kept_forward_and_backward(name: str, dtype: torch.dtype):
    x = torch.randn(2, 3, 4).to(dtype)
    assert operators.build(name)(x).dtype == dtype
    assert operators.build(name)(x).shape == x.shape
    assert gradient(operators.build(name), x).dtype == dtype


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("shape", [(), (0,), (2, 0, 3)])
def test_scalars_and_empty_tensors_work(name: str, shape: tuple[int, ...]):
    assert gradient(operators.build(name), torch.zeros(shape)).shape == shape


@pytest.mark.parametrize("name", ALL)
def test_gradients_are_finite_for_huge_and_tiny_inputs(name: str):
    x = torch.tensor([1e30, -1e30, 1e-30, -1e-30, 0.0, 300.0])
    assert torch.isfinite(gradient(operators.build(name), x)).all()


def test_the_clipped_edge_belongs_to_the_inside():
    assert gradient(ClippedSTESign(), torch.tensor([-1.0, 1.0, 1.0001])).tolist() == [1, 1, 0]


def test_the_polynomial_gradient_is_a_triangle():
    x = torch.tensor([-1.5, -1.0, -0.4, 0.0, 0.3, 1.2], dtype=torch.float64)
    assert torch.allclose(gradient(approx_sign, x), torch.tensor([0, 0, 1.2, 2, 1.4, 0], dtype=torch.float64))


def test_the_swish_gradient_equals_the_published_formula():
    beta, x = 5.0, GRID
    z = beta * x
    expected = beta * (2 - z * torch.tanh(z / 2)) / (1 + torch.cosh(z))
    assert torch.allclose(gradient(SwishSign(beta), x), expected, rtol=0, atol=1e-12)


def test_the_annealed_tanh_follows_its_schedule():
    operator = TanhSign()
    for epoch, t in ((0, 0.1), (5, 1.0), (10, 10.0)):
        operator.on_progress(Progress(epoch, 10, epoch, 10))
        expected = max(1 / t, 1) * t * (1 - torch.tanh(t * GRID) ** 2)
        assert torch.allclose(gradient(operator, GRID), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("n", [0, 9, 18])
def test_the_fourier_gradient_is_the_sum_of_its_cosines(n: int):
    x, w = GRID, 0.1
    terms = torch.stack([torch.cos((2 * i + 1) * w * x) for i in range(n + 1)]).sum(0)
    expected = torch.where(x.abs() <= 1, 4 * w / math.pi * terms, 0)
    assert torch.allclose(gradient(FourierSign(start=n), x), expected, rtol=0, atol=1e-12)


def test_the_fourier_gradient_is_negative_at_the_end_of_its_schedule_near_1():
    operator = FourierSign()
    counts = []
    for epoch in range(11):
        operator.on_progress(Progress(epoch, 10, epoch, 10))
        counts.append(int(operator.n))
    assert counts == sorted(counts)
    assert (counts[0], counts[-1]) == (9, 18)
    at_the_edge = float(gradient(operator, torch.ones((), dtype=torch.float64)))
    assert round(at_the_edge, 3) == -0.39  # as computed from the published code


@pytest.mark.parametrize("t", [0.01, 0.5, 1.0, 10.0])
def test_the_annealed_triangle_encloses_its_area_and_meets_zero_at_the_root_of_two(t: float):
    operator = TriangleSign(t, t)
    edge = math.sqrt(2) / float(operator.t)
    x = torch.linspace(-edge, edge, 20001, dtype=torch.float64)
    values = gradient(operator, x)
    assert torch.all(values >= 0)
    assert values[0] == values[-1] == pytest.approx(0, abs=1e-9)
    # from -c to c in all: the surrogate is c times the sign outside
    assert float(torch.trapezoid(values, x)) == pytest.approx(2 * max(1 / t, 1), rel=1e-6)
    assert gradient(operator, torch.tensor([2 * edge, math.inf])).tolist() == [0, 0]


# the numbers below stand in the sheets of the papers


def test_biper_values_gradients_and_penalty():
    w = torch.tensor([0.02, -0.05, 0.1, 0.2], dtype=torch.float64)
    sine = torch.tensor([0.389418, -0.841471, 0.909297, -0.756802], dtype=torch.float64)
    slope = torch.tensor([18.421220, 10.806046, -8.322937, -13.072872], dtype=torch.float64)
    assert torch.allclose(PeriodicSign(20.0, stage=1)(w), sine, rtol=0, atol=1e-6)
    assert periodic_sign(w, 20.0).tolist() == [1, -1, 1, -1]
    for stage in (1, 2):
        assert torch.allclose(gradient(PeriodicSign(20.0, stage=stage), w), slope, rtol=0, atol=1e-6)
    assert float(PeriodicSign(20.0).surrogate(w).square().mean()) == pytest.approx(0.564823, abs=1e-6)


@given(st.floats(0.5, 50), st.floats(-2, 2))
def test_the_square_wave_is_periodic_and_odd(freq: float, value: float):
    w = torch.tensor([value], dtype=torch.float64)
    if abs(math.sin(freq * value)) < 1e-6:
        return
    assert periodic_sign(w + 2 * math.pi / freq, freq) == periodic_sign(w, freq)
    assert periodic_sign(w + math.pi / freq, freq) == -periodic_sign(w, freq)
    assert periodic_sign(-w, freq) == -periodic_sign(w, freq)


def test_the_periodic_gradient_vanishes_at_odd_quarters_and_is_freq_at_crossings():
    freq, k = 7.0, torch.arange(-5, 6, dtype=torch.float64)
    assert gradient(PeriodicSign(freq), (k + 0.5) * math.pi / freq).abs().max() < 1e-6
    assert torch.allclose(gradient(PeriodicSign(freq), k * math.pi / freq).abs(), torch.tensor(freq).double())


def test_a_low_frequency_gives_the_plain_sign():
    w = GRID[GRID != 0]
    assert torch.equal(periodic_sign(w, 1e-3), operators.build("identity")(w))


def test_the_periodic_stage_follows_progress_only_where_staged():
    fixed, staged = PeriodicSign(stage=2), PeriodicSign(stage=1, staged=True)
    for stage, expected in ((1, 1), (2, 2), (3, 2)):
        for operator in (fixed, staged):
            operator.on_progress(Progress(0, 1, 0, 1, stage))
        assert (fixed.stage, staged.stage) == (2, expected)


def test_stage_and_frequency_are_saved():
    source, target = PeriodicSign(freq=3.0, stage=1), PeriodicSign()
    target.load_state_dict(source.state_dict())
    assert (target.stage, float(target.freq)) == (1, 3.0)


POWER = {
    1: (1, 1, 1, 1, 0),
    2: (3.162278, 1.118034, 0.5, 0.408248, 0),
    3: (4.641589, 0.974673, 0.333333, 0.254381, 0),
    10: (7.943282, 0.425670, 0.1, 0.069425, 0),
}


@pytest.mark.parametrize("o", POWER)
@pytest.mark.parametrize("side", [-1, 1])
def test_the_power_gradient_equals_the_table(o: int, side: int):
    x = side * torch.tensor([0.05, 0.2, 1.0, 1.5, 1.6], dtype=torch.float64)
    expected = torch.tensor(POWER[o], dtype=torch.float64)
    assert torch.allclose(gradient(lambda z: power_sign(z, float(o)), x), expected, rtol=0, atol=1e-6)
    edges = gradient(PowerSign(o=o), torch.tensor([side * 0.1, 0.0], dtype=torch.float64))
    assert edges.tolist() == pytest.approx([POWER[o][0]] * 2, abs=1e-6)


def test_the_power_gradient_at_o_one_is_a_clip_at_the_threshold():
    x = GRID[(GRID.abs() - 1.5).abs() > 1e-6]
    clamp = gradient(lambda z: z.clamp(-1.5, 1.5), x)
    assert torch.equal(gradient(PowerSign(o=1.0), x), clamp)


@pytest.mark.parametrize(
    ("epoch", "o"), [(0, 1), (1, 1.000247), (37, 1.328385), (50, 1.585786), (99, 2.968585), (100, 3)]
)
def test_the_power_schedule_equals_the_sheet(epoch: int, o: float):
    operator = PowerSign()
    operator.on_progress(Progress(epoch, 100, epoch, 100))
    assert float(operator.o) == pytest.approx(o, abs=1e-6)


def test_training_complete_is_the_end_of_every_schedule():
    power, tanh = PowerSign(o_end=5.0), TanhSign(end=7.0)
    power.on_progress(Progress.complete())
    tanh.on_progress(Progress.complete())
    assert (float(power.o), float(tanh.t)) == (5.0, pytest.approx(7.0))


@given(st.floats(1, 20), st.floats(0.01, 0.9))
def test_the_power_gradient_has_area_one_on_the_unit_interval(o: float, inner: float):
    operator = PowerSign(o=o, o_end=None, inner=inner)
    nodes, weights = np.polynomial.legendre.leggauss(60)
    total = 0.0
    for low, high in ((0.0, inner), (inner, 1.0)):
        # substituting u = log x makes the outer part smooth
        if low == 0.0:
            total += inner * float(operator.gradient(torch.tensor([inner / 2]).double(), operator.o))
            continue
        u = 0.5 * (math.log(high) - math.log(low)) * (nodes + 1) + math.log(low)
        x = torch.tensor(np.exp(u)).clamp(min=np.nextafter(inner, 1))
        half = 0.5 * (math.log(high) - math.log(low))
        total += float(half * (operator.gradient(x, operator.o) * x).numpy() @ weights)
    assert total == pytest.approx(1, abs=1e-6)


@given(st.floats(1, 50), st.floats(0.01, 10))
def test_the_power_surrogate_keeps_plus_minus_one_and_zero_and_inverts(o: float, size: float):
    operator = PowerSign(o=o)
    x = torch.tensor([0.0, 1.0, -1.0, size, -size], dtype=torch.float64)
    y = operator.surrogate(x)
    assert y[:3].tolist() == [0, 1, -1]
    assert torch.allclose(torch.sign(y) * y.abs() ** float(operator.o), x, rtol=1e-6)


def test_the_estimating_error_of_the_power_equals_the_sheet_and_falls_with_o():
    z = torch.tensor([0.25, -4.0], dtype=torch.float64)
    errors = [float((torch.sign(z) - PowerSign(o=o).surrogate(z)).norm()) for o in (1, 2, 3, 10)]
    assert errors[0] == pytest.approx(3.092329, abs=1e-6)
    assert errors[1] == pytest.approx(1.118034, abs=1e-6)
    assert errors == sorted(errors, reverse=True)


def test_the_functional_power_takes_a_tensor_and_gives_it_no_gradient():
    x, o = torch.tensor([0.5], requires_grad=True), torch.tensor(2.0, requires_grad=True)
    power_sign(x, o).backward()
    assert o.grad is None
    assert x.grad.item() == pytest.approx(0.5 * 0.5**-0.5)


# step, ternary, round


def test_step_of_zero_is_one_and_of_nan_is_zero():
    x = torch.tensor([0.0, -0.0, math.nan, -1.0, 1.0])
    assert Step()(x).tolist() == [1, 1, 0, 0, 1]
    assert torch.equal(Step()(x), (operators.build("clipped")(x) + 1) / 2)


def test_ternary_has_a_dead_zone_whose_edge_is_zero():
    x = torch.tensor([-0.75, -0.7, -0.2, 0.0, 0.7, 0.71, math.nan])
    assert Ternary(threshold=0.7)(x).tolist() == [-1, 0, 0, 0, 0, 1, 0]


@given(st.lists(st.floats(-1e6, 1e6, width=32), max_size=20))
def test_round_is_pythons_round_half_even(values: list[float]):
    assert Round()(torch.tensor(values)).tolist() == [round(value) for value in values]


def test_round_clamps_and_passes_gradient_inside_only():
    x = torch.tensor([-9.0, -2.0, 0.5, 1.5, 2.0, 9.0, math.nan])
    assert Round(-2, 2)(x).tolist() == [-2, -2, 0, 2, 2, 2, 0]
    assert gradient(Round(-2, 2), x)[:6].tolist() == [0, 1, 1, 1, 1, 0]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ClippedSTESign(0), "clip must be a finite number above 0, got 0"),
        (lambda: SwishSign(math.inf), "beta must be a finite number above 0"),
        (lambda: TanhSign(start=-1), "start must be a finite number above 0, got -1"),
        (lambda: PowerSign(o=0.5), "o must be 1..inf, got 0.5"),
        (lambda: PowerSign(clip=0.1, inner=0.1), r"inner must be below clip \(0.1\), got 0.1"),
        (lambda: power_sign(torch.zeros(1), 0.9), "o must be 1..inf, got 0.9"),
        (lambda: power_sign(torch.zeros(1), 1.0, clip=-1), "clip must be a finite number above 0, got -1"),
        (lambda: PeriodicSign(freq=0), "freq must be a finite number above 0, got 0"),
        (lambda: periodic_sign(torch.zeros(1), math.nan), "freq must be a finite number above 0, got nan"),
        (lambda: PeriodicSign(stage=3), r"stage must be 1 \(sine\) or 2 \(its sign\), got 3"),
        (lambda: Ternary(-1), "threshold must be 0..inf, got -1"),
        (lambda: Step(0), "clip must be a finite number above 0, got 0"),
        (lambda: Round(1, 3), "low must be an integer with low <= 0 <= high, got 1"),
        (lambda: curve("step", 1, 1), "low must be below high"),
        (lambda: curve("step", n=1), "n must be at least 2, got 1"),
    ],
)
def test_bad_settings_are_refused_with_a_sentence(make, message: str):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("name", ALL)
def test_a_plot_shows_value_and_gradient_of_the_operator_itself(name: str):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    ax = plot(name, Figure().subplots(), n=21)
    x, forward, backward = curve(name, *operators.span(name), n=21)
    lines = {line.get_label(): line for line in ax.get_lines()}
    assert np.array_equal(lines["forward"].get_ydata(), forward)
    assert np.array_equal(lines["gradient"].get_ydata(), backward)
    assert np.array_equal(operators.build(name)(torch.tensor(x)).detach().numpy(), forward)


@pytest.mark.parametrize("name", ["power", "tanh", "triangle", "fourier"])
def test_a_name_is_drawn_at_the_end_of_its_schedule_and_an_operator_as_it_is(name: str):
    start, end = operators.build(name), operators.build(name)
    end.on_progress(Progress.complete())
    _, _, by_name = curve(name)
    assert np.array_equal(by_name, curve(end)[2])
    assert not np.array_equal(by_name, curve(start)[2])


def test_every_name_of_the_package_is_what_it_says_and_no_module_of_the_same_name():
    assert not [name for name in operators.__all__ if isinstance(getattr(operators, name), types.ModuleType)]
    assert operators.sign(torch.tensor([-0.0])).item() == 1
