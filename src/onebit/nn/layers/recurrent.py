"""Recurrent layers of bits: drop-ins for PyTorch's LSTM, GRU and RNN."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from onebit.core.errors import Unsupported
from onebit.nn.layers.linear import linear_product
from onebit.nn.layers.quantized import (
    QuantizerLike,
    fresh,
    held_product,
    keep_own,
    parametrized_class,
    take_over,
)
from onebit.nn.quantizers import BinaryActivation, Quantizer, build_activation, build_weight, centred

State = tuple[Tensor, ...]
Product = Callable[[Tensor], Tensor]
SAME = "same"


class Recurrent(nn.RNNBase):
    """Mixin: a recurrent layer whose every product is of quantized input and weight; gates and state stay float.

    Each weight has a quantizer, and each input of a weight: that of the layer and, at every step, the state ``h``.
    Names in ``weight_quantizers`` and ``input_quantizers`` are PyTorch's of the weights: ``"ih_l0"``, ``"hh_l0"``, ...,
    ``"hh_l1_reverse"``, ``"hr_l0"`` with a projection. Weights are quantized once a call, not once a step. The product
    of all steps' inputs is one. Without quantizers the layer is PyTorch's.

    While exporting the loop over time is unrolled: a captured network takes sequences of the length that it was
    captured with.
    """

    weight_quantizers: nn.ModuleDict
    input_quantizers: nn.ModuleDict

    def __init__(
        self,
        *arguments: Any,
        weight_quantizer: QuantizerLike = "binary",
        input_quantizer: QuantizerLike = "sign",
        hidden_quantizer: QuantizerLike = SAME,
        **settings: Any,
    ) -> None:
        super().__init__(*arguments, **settings)
        self.attach(weight_quantizer, input_quantizer, hidden_quantizer)

    @classmethod
    def from_float(
        cls,
        module: nn.RNNBase,
        weight_quantizer: QuantizerLike,
        input_quantizer: QuantizerLike,
        hidden_quantizer: QuantizerLike = SAME,
    ) -> Recurrent:
        """The same layer with quantizers; it holds the very parameters of ``module``."""
        layer: Recurrent = cls.__new__(parametrized_class(cls, module))  # type: ignore[type-var]
        take_over(layer, module)
        layer.attach(weight_quantizer, input_quantizer, hidden_quantizer)
        layer.train(module.training)
        return layer

    def attach(
        self, weight_quantizer: QuantizerLike, input_quantizer: QuantizerLike, hidden_quantizer: QuantizerLike = SAME
    ) -> None:
        """Give each weight and each input its quantizers, copied or built from what came."""
        hidden = input_quantizer if hidden_quantizer == SAME else hidden_quantizer
        self.weight_quantizers, self.input_quantizers = nn.ModuleDict(), nn.ModuleDict()
        with torch.no_grad():
            for name, weight in self.weights().items():
                if (of_weight := build_weight(fresh(weight_quantizer))) is not None:
                    of_weight.attach(weight, 0)
                    self.weight_quantizers[name] = of_weight
                first = name in ("ih_l0", "ih_l0_reverse")
                of_input = build_activation(fresh(input_quantizer if first else hidden))
                if of_input is not None:
                    if not first and self.mode == "RNN_RELU":
                        of_input = _for_positive(of_input)
                    of_input.attach(weight.new_empty(0, weight.shape[1]), -1)
                    self.input_quantizers[name] = of_input

    def weights(self) -> dict[str, Tensor]:
        """The matrices by name: ``{"ih_l0": (gates * H, I), "hh_l0": (gates * H, H), ...}``."""
        names = [name for group in self._all_weights for name in group if name.startswith("weight_")]
        return {name.removeprefix("weight_"): getattr(self, name) for name in names}

    @property
    def is_float(self) -> bool:
        """Whether it has no quantizer at all."""
        return not len(self.weight_quantizers) and not len(self.input_quantizers)

    def penalty(self) -> Tensor:
        """The weight quantizers' regularisers of their weights."""
        total = torch.zeros(())
        for name, weight in self.weights().items():
            if name in self.weight_quantizers:
                total = total + cast(Quantizer, self.weight_quantizers[name]).penalty(weight)
        return total

    def forward(self, input: Tensor, hx: Any = None) -> Any:  # type: ignore[override]
        if not isinstance(input, Tensor):
            raise Unsupported(
                f"input must be a tensor, got {type(input).__name__}: a layer of bits takes padded sequences "
                "(torch.nn.utils.rnn.pad_packed_sequence)"
            )
        if self.is_float and not torch.compiler.is_exporting():
            return super().forward(input, hx)
        return self.unrolled(input, hx)

    def unrolled(self, input: Tensor, hx: Any = None) -> Any:
        """What :meth:`forward` computes, step by step."""
        if input.dim() not in (2, 3) or input.shape[-1] != self.input_size:
            shape = f"(N, T, {self.input_size})" if self.batch_first else f"(T, N, {self.input_size})"
            raise ValueError(f"input must be {shape} or (T, {self.input_size}), got {tuple(input.shape)}")
        batched = input.dim() == 3
        x = input.unsqueeze(0) if not batched else input if self.batch_first else input.transpose(0, 1)
        if x.shape[1] == 0:
            raise ValueError(f"input must have at least one step, got {tuple(input.shape)}")
        starts = self._starts(x, hx, batched)
        ends: list[State] = []
        for layer in range(self.num_layers):
            outputs = []
            for reverse in range(1 + self.bidirectional):
                suffix = f"l{layer}_reverse" if reverse else f"l{layer}"
                y, end = self._direction(x, suffix, starts[len(ends)], bool(reverse))
                outputs.append(y)
                ends.append(end)
            x = outputs[0] if len(outputs) == 1 else torch.cat(outputs, -1)
            if self.dropout and self.training and layer + 1 < self.num_layers:
                x = F.dropout(x, self.dropout)
        finals = [torch.stack(parts) for parts in zip(*ends)]
        if not batched:
            x, finals = x.squeeze(0), [final.squeeze(1) for final in finals]
        elif not self.batch_first:
            x = x.transpose(0, 1)
        return x, finals[0] if len(finals) == 1 else tuple(finals)

    def _starts(self, x: Tensor, hx: Any, batched: bool) -> list[State]:
        """The state of each layer and direction before the first step; rows of zeros for all where none is given."""
        count = self.num_layers * (1 + self.bidirectional)
        sizes = [self.proj_size or self.hidden_size, *([self.hidden_size] if self.mode == "LSTM" else [])]
        if hx is None:
            return [tuple(x.new_zeros(1, size) for size in sizes)] * count
        given = tuple(hx) if self.mode == "LSTM" else (hx,)
        for part, size in zip(given, sizes, strict=True):
            expected = (count, x.shape[0], size) if batched else (count, size)
            if tuple(part.shape) != expected:
                raise ValueError(f"hx must be {expected}, got {tuple(part.shape)}")
        parts = given if batched else tuple(part.unsqueeze(1) for part in given)
        return [tuple(part[index] for part in parts) for index in range(count)]

    def _direction(self, x: Tensor, suffix: str, state: State, reverse: bool) -> tuple[Tensor, State]:
        """All steps of one layer in one direction: ``(N, T, I) -> (N, T, H)``, and the last state."""
        inputs = self._product("ih", suffix)(x)
        hidden = self._product("hh", suffix)
        project = self._product("hr", suffix) if self.proj_size else None
        outputs = []
        for t in reversed(range(x.shape[1])) if reverse else range(x.shape[1]):
            state = self.step(inputs[:, t], hidden(state[0]), state)
            if project is not None:
                state = (project(state[0]), *state[1:])
            outputs.append(state[0])
        return torch.stack(outputs[::-1] if reverse else outputs, 1), state

    def step(self, of_input: Tensor, of_hidden: Tensor, state: State) -> State:
        """The next state from the two products ``(N, gates * H)``, biases included, and the state."""
        raise TypeError(f"{type(self).__name__} does not define step(of_input, of_hidden, state)")

    def _product(self, part: str, suffix: str) -> Product:
        name = f"{part}_{suffix}"
        of_input = cast(Quantizer, self.input_quantizers[name]) if name in self.input_quantizers else None
        of_weight = cast(Quantizer, self.weight_quantizers[name]) if name in self.weight_quantizers else None
        weight = getattr(self, f"weight_{name}")
        product = held_product(linear_product, weight, of_input, of_weight, [-1], self.training)
        bias = getattr(self, f"bias_{name}") if self.bias and part != "hr" else None
        return product if bias is None else lambda x: product(x) + bias

    def _load_from_state_dict(self, state_dict, prefix, *arguments) -> None:
        keep_own(self, ("weight_quantizers", "input_quantizers"), state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *arguments)


class LSTM(Recurrent, nn.LSTM):  # type: ignore[misc]
    """``torch.nn.LSTM`` with quantized products.

    ``i, f, g, o = Q(W_ih) Q(x) + b_ih + Q(W_hh) Q(h) + b_hh``; ``c' = sigmoid(f) c + sigmoid(i) tanh(g)``,
    ``h' = sigmoid(o) tanh(c')``, with ``proj_size`` ``h' = Q(W_hr) Q(h')``.

    Args:
        input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, proj_size, device, dtype: as in
            ``torch.nn.LSTM``.
        weight_quantizer, input_quantizer: names, factories, or quantizers, which are copied for each weight.
        hidden_quantizer: of the state h and of what a layer gets from the one below; ``"same"``: as
            ``input_quantizer``.

    Shape: ``(N, T, input_size)`` with ``batch_first``, else ``(T, N, input_size)``; without a batch
    ``(T, input_size)``. Returns output and states as PyTorch's does.

    Raises:
        ValueError: a wrong shape of the input or of the states.
        Unsupported: a packed sequence.

    References: [Hochreiter1997]; signs of inputs and states as [Qin2023] has them in linear layers.

    Example:
        >>> layer = LSTM(8, 16, batch_first=True, weight_quantizer="binary", input_quantizer="sign")
        >>> output, (h, c) = layer(torch.randn(3, 5, 8))
        >>> output.shape, h.shape
        (torch.Size([3, 5, 16]), torch.Size([1, 3, 16]))
    """

    def step(self, of_input: Tensor, of_hidden: Tensor, state: State) -> State:
        i, f, g, o = (of_input + of_hidden).chunk(4, -1)
        c = torch.sigmoid(f) * state[1] + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c


class GRU(Recurrent, nn.GRU):  # type: ignore[misc]
    """``torch.nn.GRU`` with quantized products.

    ``r, z = sigmoid(...)`` of the sums of both products, ``n = tanh(a_n + r b_n)`` with a of the input and b of the
    state, biases included; ``h' = (1 - z) n + z h``.

    Arguments, shapes and errors as in :class:`LSTM` (there is no ``proj_size``).

    Reference: [Cho2014].

    Example:
        >>> GRU(8, 16, batch_first=True)(torch.randn(3, 5, 8))[0].shape
        torch.Size([3, 5, 16])
    """

    def step(self, of_input: Tensor, of_hidden: Tensor, state: State) -> State:
        r, z, n = of_input.chunk(3, -1)
        hidden_r, hidden_z, hidden_n = of_hidden.chunk(3, -1)
        z = torch.sigmoid(z + hidden_z)
        n = torch.tanh(n + torch.sigmoid(r + hidden_r) * hidden_n)
        return ((1 - z) * n + z * state[0],)


class RNN(Recurrent, nn.RNN):  # type: ignore[misc]
    """``torch.nn.RNN`` with quantized products: ``h' = tanh(Q(W_ih) Q(x) + b_ih + Q(W_hh) Q(h) + b_hh)``, or ReLU.

    Arguments, shapes and errors as in :class:`LSTM`, and ``nonlinearity``. After ReLU the state is never negative: its
    sign gets a learned shift that starts at -0.5.

    Reference: [Elman1990].

    Example:
        >>> RNN(8, 16, batch_first=True)(torch.randn(3, 5, 8))[0].shape
        torch.Size([3, 5, 16])
    """

    def step(self, of_input: Tensor, of_hidden: Tensor, state: State) -> State:
        total = of_input + of_hidden
        return (torch.relu(total) if self.mode == "RNN_RELU" else torch.tanh(total),)


def _for_positive(quantizer: Quantizer) -> Quantizer:
    """For states that are never negative. The first state is all zeros: a shift does not start from that."""
    result = centred(quantizer)
    if isinstance(result, BinaryActivation) and result.shift_kind == "centred":
        result.initialized.fill_(True)
    return result
