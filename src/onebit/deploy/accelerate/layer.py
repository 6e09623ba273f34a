"""A packed layer: what computes a quantized layer in eval mode in place of PyTorch."""

from __future__ import annotations

import hashlib
import threading
import warnings
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from onebit import ir
from onebit.core.errors import OnebitWarning
from onebit.deploy.accelerate import graph as graphs
from onebit.deploy.accelerate.operator import call
from onebit.deploy.pack import check_finite
from onebit.nn.layers import MultiheadAttention, Quantized
from onebit.nn.ops import conv_shape


class Packed(nn.Module):
    """The engine's form of one layer, as ``layer.packed``. It has no entry in the state dict.

    Args:
        layer: in eval mode; or an attention.
        path: its name in the model, for messages.
        threads: of a run; 0: as many as PyTorch uses.
        projection: which one of an attention, ``"q"``, ``"k"`` or ``"v"``.

    Raises:
        Unsupported, ValueError: the layer cannot be packed; the text is a clause about it.

    Attributes:
        file: the packed graph, uint8.
        codes: what is multiplied, ``"bit x bit"``, ...
    """

    file: Tensor

    def __init__(self, layer: Layer, path: str, threads: int, projection: str = "") -> None:
        super().__init__()
        self.path, self.threads, self.projection = path, threads, projection
        self.pack(layer)

    def pack(self, layer: Layer) -> None:
        """Take the layer's numbers as they are now."""
        check_finite(layer)
        alone = layer.projection(self.projection) if isinstance(layer, MultiheadAttention) else layer
        graph = graphs.build(alone)
        self.channels = alone.latent_weight().shape[0]
        self.codes = graphs.codes(graph)
        self.register_buffer("file", torch.frombuffer(bytearray(ir.dumps(graph)), dtype=torch.uint8), False)
        self._digest = _digest(layer)
        self._watched: list[tuple] | None = _watch(layer)

    # Which calls

    def takes(self, layer: Layer, x: Tensor) -> bool:
        """Whether the engine computes this call; else PyTorch does, with the same result.

        Raises:
            ValueError: it would have to give a gradient.
        """
        if x.dtype != torch.float32 or x.device != self.file.device or x.device.type != "cpu":
            return False
        if torch.compiler.is_compiling():
            if not torch.compiler.is_exporting() and torch.is_grad_enabled():
                self._refuse_gradient(x.requires_grad or any(p.requires_grad for p in layer.parameters()))
            return True
        if torch._C._functorch.is_functorch_wrapped_tensor(x) or torch.jit.is_tracing():
            return False
        learns = x.requires_grad
        for table, name, value, version, address in self._watched or ():
            now = table.get(name)
            if now is not value or (version is not None and (now._version, now.data_ptr()) != (version, address)):
                if not self._renew(layer):
                    return False
                return self.takes(layer, x)
            learns = learns or (version is not None and now.requires_grad)
        if self._watched is None:
            return self._renew(layer) and self.takes(layer, x)
        if learns and torch.is_grad_enabled():
            self._refuse_gradient(True)
        return True

    def _refuse_gradient(self, wanted: bool) -> None:
        if wanted:
            raise ValueError(
                f"layer {self.path!r} is accelerated and gives no gradients: call the model under torch.no_grad() or "
                "torch.inference_mode(), or take it back with onebit.decelerate_(model)"
            )

    def _renew(self, layer: Layer) -> bool:
        """Pack again if the layer's numbers are others; whether the engine can go on with it."""
        with _renewing:
            if any(torch._C._functorch.is_functorch_wrapped_tensor(t) for t in layer.parameters()):
                return False
            if any(t.device.type != "cpu" for t in layer.parameters()):
                return False
            try:
                if _digest(layer) == self._digest:
                    self._watched = _watch(layer)
                else:
                    self.pack(layer)
            except ValueError as error:
                layer.packed = None
                warnings.warn(f"layer {self.path!r} is no longer accelerated: {error}", OnebitWarning, stacklevel=2)
                return False
            return True

    # The call

    def run(self, layer: Any, x: Tensor) -> Tensor:
        """The layer's result by the engine, in the memory format of ``x``."""
        quantizer = layer.input_quantizers[self.projection] if self.projection else layer.input_quantizer
        scale = quantizer.sample_scale(x) if graphs.needs_scale(quantizer) else None
        if self.projection or not layer.spatial:
            rows = x.reshape(-1, x.shape[-1])
            scale = None if scale is None else scale.reshape(-1, 1)
            y = call(rows.contiguous(), scale, self.file, [rows.shape[0], self.channels], self.threads)
            return y.view([*x.shape[:-1], self.channels])
        pairs: Sequence[int] = layer._reversed_padding_repeated_twice
        if layer.padding_mode != "zeros":
            x = F.pad(x, list(pairs), mode=layer.padding_mode)
            pairs = [0] * len(pairs)
        padding = [side for dim in reversed(range(layer.spatial)) for side in pairs[2 * dim : 2 * dim + 2]]
        kernel = [self.channels, layer.in_channels, *layer.kernel_size]
        n, channels, *out = conv_shape(x.shape, kernel, layer.stride, padding, layer.dilation)
        if layer.spatial == 1:
            last = x.permute(0, 2, 1).unsqueeze(1).contiguous()
            scale = None if scale is None else scale.unsqueeze(1)
            y = call(last, scale, self.file, [n, 1, *out, channels], self.threads)
            return y.squeeze(1).permute(0, 2, 1).contiguous()
        last = x.permute(0, 2, 3, 1)
        channels_last = last.is_contiguous() and not x.is_contiguous()
        y = call(last.contiguous(), scale, self.file, [n, *out, channels], self.threads).permute(0, 3, 1, 2)
        return y if channels_last else y.contiguous()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_watched": None}  # addresses and versions are of this process and of these tensors

    def extra_repr(self) -> str:
        return f"{self.codes}, {self.file.numel():,} bytes"


Layer = Quantized | MultiheadAttention
_renewing = threading.RLock()


def loaded(layer: Any, _keys: Any) -> None:
    """After ``load_state_dict``: the packed form follows, also where a compiled program reads it."""
    for packed in forms(layer):
        if layer.packed is not None:
            packed._renew(layer)


def forms(layer: Any) -> list[Packed]:
    """The packed forms of the layer: one, of an attention three, or none."""
    packed = getattr(layer, "packed", None)
    return [packed] if isinstance(packed, Packed) else [] if packed is None else list(packed.values())


def _watch(layer: Layer) -> list[tuple]:
    """Where the layer's tensors and modules stand, and what changes when they do: version and address."""
    found: list[tuple] = []
    for module in layer.modules():
        if isinstance(module, Packed):
            continue
        for table in (module._parameters, module._buffers):
            found += [(table, k, v, None, 0) if v is None else (table, k, v, *_state(v)) for k, v in table.items()]
        found += [(module._modules, k, v, None, 0) for k, v in module._modules.items() if k != "packed"]
    return found


def _state(tensor: Tensor) -> tuple[int | None, int]:
    # an inference tensor counts no versions: only another one in its place is seen
    return (None, 0) if tensor.is_inference() else (tensor._version, tensor.data_ptr())


def _digest(layer: Layer) -> bytes:
    """A fingerprint of the layer's parameters and buffers."""
    digest = hashlib.blake2b(digest_size=16)
    for name, value in [*layer.named_parameters(), *layer.named_buffers()]:
        if ".packed." in f".{name}":
            continue
        digest.update(f"{name} {value.dtype} {tuple(value.shape)};".encode())
        digest.update(value.detach().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.digest()
