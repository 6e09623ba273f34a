"""Stochastic operators: their laws against closed forms, their gradients against enumeration."""

from __future__ import annotations

import copy
import math
import pickle

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.func import vmap

from onebit.nn.operators import (
    BernoulliReinforce,
    NoisyRectifier,
    NoisySigmoid,
    NoisyThreshold,
    StochasticTimesSmooth,
    estimator_report,
    exact,
    exact_gradient,
    stochastic_registry,
)

GRID = torch.linspace(-3, 3, 25, dtype=torch.float64)
UNITS = [
    NoisyThreshold(),
    NoisyThreshold("gaussian", 0.7, "density"),
    NoisyThreshold("logistic", 2.0, "density"),
    NoisyThreshold("none"),
    StochasticTimesSmooth(),
    StochasticTimesSmooth(0.25),
    StochasticTimesSmooth(sample_with="p"),
    NoisyRectifier(),
    NoisyRectifier("logistic", 0.5),
    NoisyRectifier("none"),
]
IDS = [f"{type(unit).__name__}-{number}" for number, unit in enumerate(UNITS)]


def seeded(unit, seed: int = 0):
    unit = copy.deepcopy(unit)
    unit.generator = torch.Generator().manual_seed(seed)
    return unit


def logit(p: float) -> torch.Tensor:
    return torch.tensor([p], dtype=torch.float64).logit()


def table(units: int, seed: int):
    """A loss that is any function of the states, multilinear in each unit, with values in [0, 1)."""
    values = torch.rand(2**units, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    states = exact.states(units)

    def loss(h: torch.Tensor) -> torch.Tensor:
        weight = torch.where(states.bool(), h[:, None, :], 1 - h[:, None, :]).prod(2)
        return weight @ values

    return loss


def inputs(units: int, seed: int) -> torch.Tensor:
    return torch.randn(units, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("unit", UNITS, ids=IDS)
def test_samples_have_the_mean_and_the_chance_of_being_on_that_the_operator_says(unit):
    n = 20_000
    y = seeded(unit)(GRID.repeat(n, 1))
    error = y.std(0) / math.sqrt(n)
    assert ((y.mean(0) - unit.mean(GRID)).abs() <= 5 * error + 1e-3).all()
    q = unit.active(GRID)
    assert (((y != 0).double().mean(0) - q).abs() <= 5 * (q * (1 - q) / n).sqrt() + 1e-3).all()


@pytest.mark.parametrize("unit", [*UNITS, NoisySigmoid()], ids=[*IDS, "NoisySigmoid"])
def test_backward_is_the_gradient_at_the_noise_that_was_drawn(unit):
    x = GRID.clone().requires_grad_()
    upstream = torch.linspace(-1, 2, len(GRID), dtype=torch.float64)
    seeded(unit)(x).backward(upstream)
    assert torch.equal(x.grad, unit.gradient(GRID, seeded(unit).noise(GRID)) * upstream)


@pytest.mark.parametrize("unit", [UNITS[7], UNITS[8], UNITS[9], NoisySigmoid()], ids=[*IDS[7:], "NoisySigmoid"])
def test_a_smooth_unit_has_the_derivative_of_its_value_at_the_same_noise(unit):
    u = seeded(unit).noise(GRID)
    x = GRID.clone().requires_grad_()
    (expected,) = torch.autograd.grad(unit.hard(x, u).sum(), x)
    assert torch.allclose(unit.gradient(GRID, u), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("unit", [UNITS[0], UNITS[4], UNITS[7]], ids=["threshold", "times-smooth", "rectifier"])
def test_the_same_generator_gives_the_same_samples_and_evaluation_draws_nothing(unit):
    assert torch.equal(seeded(unit, 3)(GRID), seeded(unit, 3)(GRID))
    settled = seeded(unit).eval()
    before = settled.generator.get_state()
    assert torch.equal(settled(GRID), settled(GRID))
    assert torch.equal(settled.generator.get_state(), before)


def test_evaluation_gives_threshold_mean_or_samples_as_asked():
    assert NoisyThreshold().eval()(torch.tensor([-0.1, 0.0, -0.0])).tolist() == [0, 1, 1]
    assert torch.equal(NoisyThreshold(eval_mode="mean").eval()(GRID), torch.sigmoid(GRID))
    sampled = seeded(NoisyThreshold(eval_mode="sample")).eval()
    assert torch.equal(sampled(GRID), seeded(NoisyThreshold()).train()(GRID))
    x = GRID.clone().requires_grad_()
    StochasticTimesSmooth(eval_mode="mean").eval()(x).sum().backward()
    p = torch.sigmoid(GRID)
    assert torch.allclose(x.grad, p * (1 - p))  # the mean has its own derivative, not the half of the samples'


def test_a_noisy_rectifier_with_logistic_noise_at_zero_is_on_half_the_time_with_known_moments():
    unit = NoisyRectifier("logistic")
    zero = torch.zeros(1, dtype=torch.float64)
    assert float(unit.active(zero)) == 0.5
    assert float(unit.mean(zero)) == pytest.approx(math.log(2))
    x = torch.linspace(0, 60, 600_001, dtype=torch.float64)  # E[y^2] = 2 int_0^inf x P(y > x) dx
    assert float(torch.trapezoid(2 * x * torch.sigmoid(-x), x)) == pytest.approx(math.pi**2 / 6, abs=1e-7)
    y = seeded(unit)(torch.zeros(200_000, dtype=torch.float64))
    assert float(y.square().mean()) == pytest.approx(math.pi**2 / 6, abs=5 * float(y.square().std()) / 200_000**0.5)


def test_a_times_smooth_unit_of_probability_a_quarter_has_the_papers_numbers():
    unit, a = StochasticTimesSmooth(), logit(0.25)
    q, v = float(unit.active(a)), float(unit.value(a))
    assert (q, v) == (pytest.approx(0.5), pytest.approx(0.5))
    assert q * v**2 - (q * v) ** 2 == pytest.approx(0.25**1.5 - 0.25**2) == pytest.approx(0.0625)
    path = exact.probabilities(unit.active(a)) @ exact.pathwise(a, lambda h: h[:, 0], unit)
    assert float(path) == pytest.approx(0.5 * 0.25 * 0.75)
    assert float(path) == pytest.approx(float(exact_gradient(a, lambda h: h[:, 0], unit)) / 2)


@given(ratio=st.floats(0, 1), a=st.floats(-6, 6))
def test_the_path_through_the_smooth_factor_is_one_minus_the_ratio_of_the_gradient(ratio: float, a: float):
    unit, x = StochasticTimesSmooth(ratio), torch.tensor([a], dtype=torch.float64)
    path = exact.probabilities(unit.active(x)) @ exact.pathwise(x, lambda h: h[:, 0], unit)
    assert torch.allclose(path, (1 - ratio) * exact_gradient(x, lambda h: h[:, 0], unit), rtol=1e-9, atol=1e-15)


def test_drawing_with_p_has_the_mean_of_the_published_code():
    p = torch.sigmoid(GRID)
    assert torch.allclose(StochasticTimesSmooth(sample_with="p").mean(GRID), p**1.5)
    assert torch.allclose(StochasticTimesSmooth().mean(GRID), p)


def test_one_unit_has_the_exact_gradient_the_optimal_baseline_and_variances_of_its_closed_forms():
    a = torch.tensor([0.3], dtype=torch.float64)
    p = float(torch.sigmoid(a))

    def loss(h):
        return 5 - 3 * h[:, 0]

    assert float(exact_gradient(a, loss)) == pytest.approx(-3 * p * (1 - p)) == pytest.approx(-0.733375, abs=1e-6)
    baseline = float(exact.optimal_baseline(a, loss))
    assert baseline == pytest.approx((1 - p) * 2 + p * 5) == pytest.approx(3.723328, abs=1e-6)
    report = estimator_report(a, loss)
    assert report["score function"].variance == pytest.approx(3.388967, abs=1e-6)
    assert report["score function, mean loss"].variance == pytest.approx(0.048770, abs=1e-6)
    assert report["score function, optimal baseline"].variance == pytest.approx(0, abs=1e-25)


@given(units=st.integers(1, 6), seed=st.integers(0, 1000), shift=st.floats(-5, 5))
def test_the_score_function_is_unbiased_with_any_constant_and_no_constant_has_less_variance(units, seed, shift):
    a, loss = inputs(units, seed), table(units, seed + 1)
    chances, gradient = exact.probabilities(torch.sigmoid(a)), exact_gradient(a, loss)
    best = exact.optimal_baseline(a, loss)

    def moments(baseline):
        estimates = exact.score_function(a, loss, baseline)
        mean = chances @ estimates
        return mean, chances @ (estimates - mean) ** 2

    least = moments(best)
    for baseline in (0.0, shift, best + shift, exact.mean_loss(a, loss)):
        mean, variance = moments(baseline)
        assert torch.allclose(mean, gradient, rtol=0, atol=1e-12)
        assert (least[1] <= variance + 1e-12).all()


@given(units=st.integers(1, 6), seed=st.integers(0, 1000))
def test_straight_through_with_the_density_is_unbiased_where_the_loss_is_linear_in_each_unit(units, seed):
    a, loss = inputs(units, seed), table(units, seed + 1)
    report, p = estimator_report(a, loss), torch.sigmoid(a)
    assert report["straight-through, density"].bias < 1e-9
    assert report["straight-through, identity"].sign_agreement == 1
    chances = exact.probabilities(p)
    plain = chances @ exact.pathwise(a, loss, NoisyThreshold())
    assert torch.allclose(plain, exact_gradient(a, loss) / (p * (1 - p)), atol=1e-10)


@given(a=st.floats(-4, 4), t=st.floats(-1, 2))
def test_straight_through_has_the_known_bias_on_a_square_loss(a: float, t: float):
    x, p = torch.tensor([a], dtype=torch.float64), 1 / (1 + math.exp(-a))

    def loss(h):
        return (h[:, 0] - t) ** 2

    mean = exact.probabilities(torch.sigmoid(x)) @ exact.pathwise(x, loss, NoisyThreshold(slope="density"))
    assert float(mean - exact_gradient(x, loss)) == pytest.approx(p * (1 - p) * (2 * p - 1), abs=1e-12)


def test_every_sample_of_straight_through_with_the_density_is_exact_on_a_linear_loss():
    a = torch.tensor([0.3], dtype=torch.float64)
    estimates = exact.pathwise(a, lambda h: 3 * h[:, 0] - 1, NoisyThreshold(slope="density"))
    assert torch.allclose(estimates, exact_gradient(a, lambda h: 3 * h[:, 0] - 1).expand(2, 1))
    assert exact.pathwise(a, lambda h: 3 * h[:, 0] - 1, NoisyThreshold()).tolist() == [[3.0], [3.0]]


def test_states_are_all_there_once_and_their_chances_add_up_to_one():
    assert len({tuple(row) for row in exact.states(5).tolist()}) == 32
    assert float(exact.probabilities(torch.rand(7, dtype=torch.float64)).sum()) == pytest.approx(1)
    with pytest.raises(ValueError, match=r"units must be 1\.\.12"):
        exact.states(13)


def units_of(baseline: str = "optimal", momentum: float = 0.9) -> BernoulliReinforce:
    unit = BernoulliReinforce(4, momentum, baseline, generator=torch.Generator().manual_seed(0))
    return unit.double()


@pytest.mark.parametrize("baseline", ["optimal", "mean", "none"])
def test_the_gradient_of_the_surrogate_is_the_estimate_and_its_value_is_zero(baseline: str):
    unit, p = units_of(baseline), torch.sigmoid(inputs(4, 1))
    for _ in range(3):  # with running means that have seen something
        a = inputs(4, 1).repeat(6, 1).requires_grad_()
        before = unit.constant().clone()
        h = unit(a)
        losses = table(4, 2)(h)
        value = unit.surrogate(losses)
        assert float(value.detach()) == 0
        value.backward()
        assert torch.allclose(a.grad, (h - p) * (losses[:, None] - before))


def test_the_means_that_run_are_those_of_the_batches_before_and_no_gradient_passes_the_unit():
    unit = units_of(momentum=0.5)
    a = torch.zeros(8, 4, dtype=torch.float64, requires_grad=True)
    assert unit.constant().tolist() == [1] * 4
    h = unit(a)
    assert not h.requires_grad
    unit.surrogate(torch.full((8,), 3.0))
    expected = (0.5 * 1e-6 + 0.5 * 0.25 * 3) / (0.5 * 1e-6 + 0.5 * 0.25)
    assert torch.allclose(unit.constant(), torch.full((4,), expected, dtype=torch.float64), rtol=1e-6)


def test_the_running_baseline_approaches_the_optimal_one():
    unit, a, loss = units_of(momentum=0.99), inputs(4, 5), table(4, 6)
    for _ in range(600):
        unit.surrogate(loss(unit(a.repeat(512, 1))))
    assert torch.allclose(unit.constant(), exact.optimal_baseline(a, loss), atol=0.01)


def test_a_surrogate_without_its_forward_pass_or_without_a_loss_an_example_is_refused():
    unit = units_of()
    with pytest.raises(ValueError, match="once after each forward pass"):
        unit.surrogate(torch.zeros(3))
    unit(torch.zeros(3, 4))
    with pytest.raises(ValueError, match=r"losses must have the shape \(3,\), one an example, got \(\)"):
        unit.surrogate(torch.zeros(()))
    with pytest.raises(ValueError, match=r"input must have the shape \(B, 4\)"):
        unit(torch.zeros(3, 5))


def test_units_are_copied_and_pickled_between_a_forward_pass_and_its_loss():
    unit = BernoulliReinforce(2)
    unit(torch.zeros(3, 2, requires_grad=True) * 1)
    for other in (copy.deepcopy(unit), pickle.loads(pickle.dumps(unit))):
        with pytest.raises(ValueError, match="once after each forward pass"):
            other.surrogate(torch.zeros(3))
    assert float(unit.surrogate(torch.zeros(3)).detach()) == 0


@pytest.mark.parametrize("name", ["noisy-threshold", "stochastic-times-smooth", "noisy-rectifier", "noisy-sigmoid"])
def test_samples_differ_over_a_vmapped_batch_and_gradients_pass_it(name: str):
    unit = stochastic_registry[name]()
    x = torch.zeros(64, 32, dtype=torch.float64, requires_grad=True)
    y = vmap(unit, randomness="different")(x)
    assert y.std() > 0
    assert len({tuple(row) for row in y.tolist()}) > 1
    y.sum().backward()
    assert x.grad.abs().sum() > 0


@pytest.mark.parametrize("unit", [UNITS[1], UNITS[4], UNITS[7], NoisySigmoid()], ids=lambda u: type(u).__name__)
def test_compiled_units_give_the_same_samples_gradients_and_second_derivatives(unit):
    unit = copy.deepcopy(unit)
    compiled, found = torch.compile(unit, backend="aot_eager"), []
    for function in (unit, compiled):
        torch.manual_seed(0)
        x = GRID.clone().requires_grad_()
        y = function(x)
        (first,) = torch.autograd.grad((y * GRID).sum(), x)
        found.append((y, first))
    assert all(torch.equal(a, b) for a, b in zip(*found))
    torch.manual_seed(0)
    x = GRID.clone().requires_grad_()
    (first,) = torch.autograd.grad(unit(x).sum(), x, create_graph=True)
    if first.requires_grad and not isinstance(unit, NoisyRectifier):
        (second,) = torch.autograd.grad(first.sum(), x)
        step = 1e-6
        torch.manual_seed(0)
        u = unit.noise(GRID)
        slope = (unit.gradient(GRID + step, u) - unit.gradient(GRID - step, u)) / (2 * step)
        near = (unit.hard(GRID + step, u) != 0) == (unit.hard(GRID - step, u) != 0)  # not across a jump
        assert torch.allclose(second[near], slope[near], atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("unit", [*UNITS, NoisySigmoid()], ids=[*IDS, "NoisySigmoid"])
def test_sixteen_bits_keep_their_dtype_and_rare_events_their_chance(unit, dtype):
    a = torch.full((200_000,), -6.0, dtype=dtype)
    y = seeded(unit)(a)
    assert y.dtype == dtype
    q = float(unit.active(a.double())[0])
    share = float((y != 0).double().mean())
    if not isinstance(unit, NoisyRectifier) or unit.law != "logistic":  # its input and noise are added in 16 bits
        assert share == pytest.approx(q, abs=5 * math.sqrt(q * (1 - q) / len(a)) + 0.02 * q)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: NoisyThreshold("gauss"), "unknown noise: 'gauss'"),
        (lambda: NoisyThreshold(std=0), "std must be a finite number above 0, got 0"),
        (lambda: NoisyThreshold(slope="one"), "unknown slope: 'one'"),
        (lambda: NoisySigmoid(eval_mode="mean"), "unknown eval_mode: 'mean'"),
        (lambda: StochasticTimesSmooth(2.0), r"ratio must be 0\.\.1, got 2\.0"),
        (lambda: BernoulliReinforce(0), "units must be an integer of at least 1, got 0"),
        (lambda: BernoulliReinforce(2, baseline="best"), "unknown baseline: 'best'"),
    ],
)
def test_an_argument_out_of_range_is_named(make, message: str):
    with pytest.raises(ValueError, match=message):
        make()
