"""Operators under vmap, grad, double backward, ensembles, compile and export."""

from __future__ import annotations

import pytest
import torch
import torch._inductor.config
from torch.func import functional_call, grad, jacrev, stack_module_state, vmap

from onebit.nn import operators
from onebit.nn.operators import PeriodicSign, PowerSign, TanhSign, Ternary

NAMES = sorted(operators.registry)
X = torch.tensor([-2.0, -1.1, -0.5, -0.01, 0.05, 0.3, 1.2], dtype=torch.float64)
C = torch.linspace(1, 2, 7, dtype=torch.float64)


@pytest.mark.parametrize("name", NAMES)
def test_vmap_equals_a_loop(name: str):
    operator = operators.build(name)
    batch = torch.stack([X, -X, 2 * X])
    assert torch.equal(vmap(operator)(batch), torch.stack([operator(x) for x in batch]))


@pytest.mark.parametrize("name", NAMES)
def test_per_sample_gradients_equal_a_loop(name: str):
    operator = operators.build(name)
    batch = torch.stack([X, -X, 2 * X])

    def loss(x: torch.Tensor) -> torch.Tensor:
        return (operator(x) * C * x).sum()

    expected = []
    for x in batch:
        x = x.clone().requires_grad_()
        expected.append(torch.autograd.grad(loss(x), x)[0])
    assert torch.equal(vmap(grad(loss))(batch), torch.stack(expected))


@pytest.mark.parametrize("name", NAMES)
def test_double_backward_is_the_derivative_of_the_written_out_gradient(name: str):
    operator = operators.build(name)
    state = operator.state()

    def loss(x: torch.Tensor) -> torch.Tensor:
        return (operator(x) * C * x).sum()

    def first(x: torch.Tensor) -> torch.Tensor:  # the product rule by hand
        return operator.gradient(x, *state) * C * x + operator(x) * C

    x = X.clone().requires_grad_()
    (once,) = torch.autograd.grad(loss(x), x, create_graph=True)
    assert torch.allclose(once, first(x))
    (twice,) = torch.autograd.grad(once.sum(), x)
    (expected,) = torch.autograd.grad(first(x).sum(), x)
    assert torch.allclose(twice, expected, rtol=1e-12)
    assert torch.isfinite(twice).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_hessian_is_reverse_over_reverse(name: str):
    operator = operators.build(name)
    hessian = jacrev(jacrev(lambda x: (operator(x) * C * x).sum()))(X)
    assert torch.isfinite(hessian).all()
    assert torch.equal(hessian, torch.diag(torch.diag(hessian)))


@pytest.mark.parametrize(
    "members",
    [
        [PowerSign(o=1.0), PowerSign(o=2.0), PowerSign(o=7.0)],
        [PeriodicSign(3.0, stage=1), PeriodicSign(5.0), PeriodicSign(20.0)],
        [TanhSign(start=0.1), TanhSign(start=1.0), TanhSign(start=4.0)],
        [Ternary(0.1), Ternary(0.4), Ternary(1.0)],
    ],
    ids=["power", "periodic", "tanh", "ternary"],
)
def test_each_member_of_a_vmapped_ensemble_has_its_own_state(members: list):
    _, buffers = stack_module_state(members)

    def loss(buffers: dict, x: torch.Tensor) -> torch.Tensor:
        return (functional_call(members[0], (buffers,), (x,)) * C).sum()

    stacked = X.repeat(3, 1)
    values = vmap(loss)(buffers, stacked)
    gradients = vmap(grad(loss, argnums=1))(buffers, stacked)
    for member, value, gradient in zip(members, values, gradients):
        x = X.clone().requires_grad_()
        y = (member(x) * C).sum()
        assert value == y
        assert torch.allclose(gradient, torch.autograd.grad(y, x)[0], rtol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_compiled_without_a_graph_break_it_is_the_same(name: str):
    torch._dynamo.reset()
    operator = operators.build(name)
    compiled = torch.compile(operator, backend="aot_eager", fullgraph=True)
    x, z = X.float().requires_grad_(), X.float().requires_grad_()
    y, expected = compiled(x), operator(z)
    (y * C).sum().backward()
    (expected * C).sum().backward()
    assert torch.equal(y, expected)
    assert torch.equal(x.grad, z.grad)


def test_inductor_compiles_one():
    torch._dynamo.reset()
    operator = operators.build("polynomial")
    x, z = X.float().requires_grad_(), X.float().requires_grad_()
    with torch._inductor.config.patch(compile_threads=1):
        y = torch.compile(operator, backend="inductor", fullgraph=True)(x)
        y.sum().backward()
    operator(z).sum().backward()
    assert torch.equal(y, operator(z))
    assert torch.allclose(x.grad, z.grad, rtol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_an_exported_operator_is_the_same_and_has_no_autograd_function(name: str):
    operator = operators.build(name).eval()
    x = torch.cat([X, torch.tensor([0.0, -0.0, float("nan")])]).float()
    with torch.no_grad():
        program = torch.export.export(operator, (x,)).run_decompositions({})
    assert torch.equal(program.module()(x), operator(x))
    targets = {str(node.target) for node in program.graph.nodes if node.op == "call_function"}
    if name == "round":
        assert "onebit.quantize.default" in targets
    elif name == "step":
        assert "aten.ge.Scalar" in targets  # codes 0 and 1, which capture takes as integers
    elif name != "ternary":
        assert "onebit.sign.default" in targets
