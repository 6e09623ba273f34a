"""The custom operator ``onebit::packed``: one packed layer, run by the engine on PyTorch's own memory.

The packed layer is a tensor of bytes among the operator's arguments, so a compiled or exported program carries it and
needs nothing but ``import onebit.deploy`` to run.
"""

from __future__ import annotations

import atexit
import threading
from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils.dlpack import to_dlpack
from torch.utils.weak import WeakIdKeyDictionary

from onebit import ir, runtime
from onebit.deploy.accelerate.graph import resized

MOST_SIZES = 8  # of maps, for which a layer keeps an engine each

# A library and not torch.library.custom_op: a call costs 3 microseconds instead of 9, as much as a small layer.
_library = torch.library.Library("onebit", "FRAGMENT")
_library.define("packed(Tensor x, Tensor? scale, Tensor file, SymInt[] sizes, int threads) -> Tensor")


class Engines:
    """The engines of one packed layer: one for each size of the map and number of threads, the last used kept.

    Args:
        file: the packed graph, uint8.
    """

    def __init__(self, file: Tensor) -> None:
        self._data = bytes(file.numpy())
        self._kept: OrderedDict[tuple[int, ...], runtime.Model] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, map_size: Sequence[int], threads: int) -> runtime.Model:
        """The engine for maps of ``(H, W)``, or of a linear layer for ``()``."""
        key = (threads, *map_size)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
            data = ir.dumps(resized(ir.loads(self._data), *map_size)) if map_size else self._data
            model = self._kept[key] = runtime.Model(data, threads, share_threads=True)
            if len(self._kept) > MOST_SIZES:
                self._kept.popitem(last=False)
            return model


_engines = WeakIdKeyDictionary()
_lock = threading.Lock()
atexit.register(_engines.clear)  # before the engine's module goes


def engines(file: Tensor) -> Engines:
    """The engines of this tensor, which live as long as it does."""
    found: Engines | None = _engines.get(file)
    if found is None:
        with _lock:
            found = _engines.get(file)
            if found is None:
                found = _engines[file] = Engines(file)
    return found


def packed(x: Tensor, scale: Tensor | None, file: Tensor, sizes: Sequence[int], threads: int) -> Tensor:
    """A packed layer on a batch.

    Args:
        x: float32 ``(N, H, W, C)`` or ``(N, C)``, contiguous.
        scale: of the input, float32 ``(N, 1, ...)``, where the layer takes one.
        file: the packed graph, uint8.
        sizes: of the result.
        threads: of the run; 0: as many as PyTorch uses.
    """
    model = engines(file).get(x.shape[1:-1], threads or torch.get_num_threads())
    given = [x.contiguous()] if scale is None else [x.contiguous(), scale.contiguous()]
    if model.isa == "interpreter":
        return torch.from_numpy(model.run(*(tensor.numpy() for tensor in given)))
    out = torch.empty(sizes)
    model.run_dlpack([to_dlpack(tensor) for tensor in given], [to_dlpack(out)])
    return out


_library.impl("packed", packed, "CPU")


@torch.library.register_fake("onebit::packed", lib=_library)
def _(x: Tensor, scale: Tensor | None, file: Tensor, sizes: Sequence[int], threads: int) -> Tensor:
    return x.new_empty(sizes)


call = torch.ops.onebit.packed.default
