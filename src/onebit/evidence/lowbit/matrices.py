"""The matrices that are multiplied, the engine's and its peers': as many as fill the last-level cache four times."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from onebit import runtime
from onebit.core.errors import require
from onebit.evidence.engine.peers import session
from onebit.ir import Graph, TensorType, file

#: How many times the last-level cache is gone through.
CACHES = 4
#: Weights that share a scale in MatMulNBits.
BLOCK = 32
#: Of a weight in memory.
BITS = {"ternary": 2, "bit": 1}


class Matrices:
    """As many matrices as fill the caches, and a call that multiplies by each of them."""

    name = ""

    def __init__(self, inputs: int, outputs: int, weight_bytes: int, cache: int) -> None:
        self.inputs, self.outputs, self.weight_bytes = inputs, outputs, weight_bytes
        self.count = max(1, math.ceil(CACHES * cache / weight_bytes))

    def call(self, batch: int) -> Callable[[], object]:
        """A call on rows (batch, inputs)."""
        raise NotImplementedError

    def rows(self, batch: int) -> np.ndarray:
        """Normal numbers (batch, inputs), float32."""
        return np.random.default_rng(batch).standard_normal((batch, self.inputs)).astype(np.float32)


class Ours(Matrices):
    """Weights of 2 bits or 1 in the engine, times int8; and a plain read of as many bytes."""

    def __init__(self, kind: str, inputs: int, outputs: int, cache: int, threads: int, isa: str) -> None:
        self.name = kind
        super().__init__(inputs, outputs, inputs * outputs * BITS[kind] // 8, cache)
        codes = np.array([-1, 0, 1] if kind == "ternary" else [-1, 1], np.int8)
        base = np.random.default_rng(0).choice(codes, (outputs, inputs))
        graph = Graph({"x": TensorType("int8", ("batch", inputs))})
        for number in range(self.count):
            weight = graph.constant(np.roll(base, number, 1), bit=kind == "bit", ternary=kind == "ternary")
            graph.outputs.append(graph.add("linear", "x", weight))
        self.model = runtime.Model(file.dumps(graph), threads=threads, isa=isa or None)
        engine = require("onebit.runtime._engine", "train", "timing the engine")
        self.reader = engine.PlainRead(isa, threads)
        self.bytes = np.ones(self.count * self.weight_bytes // 4, np.uint32)

    def call(self, batch: int) -> Callable[[], object]:
        x = np.random.default_rng(batch).integers(-127, 128, (batch, self.inputs), np.int8)
        return lambda: self.model.run(x)

    def read(self) -> object:
        """A plain read of as many bytes as the matrices have."""
        return self.reader.sum(self.bytes)


class Torch32(Matrices):
    """PyTorch in float32."""

    name, dtype, size = "torch_float32", "float32", 4

    def __init__(self, inputs: int, outputs: int, cache: int, threads: int, folder: Path) -> None:
        super().__init__(inputs, outputs, inputs * outputs * self.size, cache)
        torch = require("torch", "train", "timing PyTorch")
        made = torch.Generator().manual_seed(0)
        dtype = getattr(torch, self.dtype)
        self.weights = [torch.randn(outputs, inputs, generator=made).to(dtype) for _ in range(self.count)]

    def call(self, batch: int) -> Callable[[], object]:
        torch = require("torch", "train", "timing PyTorch")
        x = torch.from_numpy(self.rows(batch)).to(self.weights[0].dtype)
        return lambda: [torch.nn.functional.linear(x, weight) for weight in self.weights]


class Torch16(Torch32):
    """PyTorch in bfloat16."""

    name, dtype, size = "torch_bfloat16", "bfloat16", 2


class OnnxRuntime(Matrices):
    """A file with one product a matrix, all of the same input."""

    def __init__(self, inputs: int, outputs: int, weight_bytes: int, cache: int, threads: int, folder: Path) -> None:
        super().__init__(inputs, outputs, weight_bytes, cache)
        onnx = require("onnx", "train", "timing ONNX Runtime")
        self.threads, self.path = threads, folder / f"{self.name}_{inputs}_{outputs}.onnx"
        nodes, tensors = self.products(onnx, np.random.default_rng(0))
        float32 = onnx.TensorProto.FLOAT
        results = [self.result(onnx, number) for number in range(self.count)]
        x = onnx.helper.make_tensor_value_info("x", float32, ["batch", inputs])
        body = onnx.helper.make_graph(nodes, "matrices", [x], results, tensors)
        opsets = [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("com.microsoft", 1)]
        onnx.save(onnx.helper.make_model(body, opset_imports=opsets, ir_version=9), self.path)

    def products(self, onnx: Any, rng: np.random.Generator) -> tuple[list[Any], list[Any]]:
        """Nodes and initializers."""
        raise NotImplementedError

    def result(self, onnx: Any, number: int) -> Any:
        """The output of the product with this matrix."""
        kind = onnx.TensorProto.INT32 if self.name == "onnxruntime_int8" else onnx.TensorProto.FLOAT
        return onnx.helper.make_tensor_value_info(f"y{number}", kind, ["batch", self.outputs])

    def call(self, batch: int) -> Callable[[], object]:
        return session(self.path, self.rows(batch), self.threads).call


class Int8(OnnxRuntime):
    """``DynamicQuantizeLinear`` once, ``MatMulInteger`` for each matrix."""

    name = "onnxruntime_int8"

    def __init__(self, inputs: int, outputs: int, cache: int, threads: int, folder: Path) -> None:
        super().__init__(inputs, outputs, inputs * outputs, cache, threads, folder)

    def products(self, onnx: Any, rng: np.random.Generator) -> tuple[list[Any], list[Any]]:
        make = onnx.helper.make_node
        nodes = [make("DynamicQuantizeLinear", ["x"], ["codes", "scale", "zero"])]
        tensors = []
        base = rng.integers(-127, 128, (self.inputs, self.outputs), np.int8)
        for number in range(self.count):
            nodes.append(make("MatMulInteger", ["codes", f"w{number}", "zero"], [f"y{number}"]))
            tensors.append(onnx.numpy_helper.from_array(np.roll(base, number, 1), f"w{number}"))
        return nodes, tensors


class FourBits(OnnxRuntime):
    """``MatMulNBits`` with 4 bits and a scale for each 32 weights; ``accuracy_level`` 4: int8 activations."""

    name = "onnxruntime_4bit"

    def __init__(self, inputs: int, outputs: int, cache: int, threads: int, folder: Path) -> None:
        blocks = -(-inputs // BLOCK)
        super().__init__(inputs, outputs, outputs * blocks * (BLOCK // 2 + 4), cache, threads, folder)

    def products(self, onnx: Any, rng: np.random.Generator) -> tuple[list[Any], list[Any]]:
        blocks = -(-self.inputs // BLOCK)
        nodes, tensors = [], []
        base = rng.integers(0, 256, (self.outputs, blocks, BLOCK // 2), np.uint8)
        scales = rng.uniform(0.5, 1.5, self.outputs * blocks).astype(np.float32)
        settings = {"K": self.inputs, "N": self.outputs, "bits": 4, "block_size": BLOCK, "accuracy_level": 4}
        for number in range(self.count):
            nodes.append(
                onnx.helper.make_node(
                    "MatMulNBits", ["x", f"w{number}", f"s{number}"], [f"y{number}"], domain="com.microsoft", **settings
                )
            )
            tensors.append(onnx.numpy_helper.from_array(np.roll(base, number, 0), f"w{number}"))
            tensors.append(onnx.numpy_helper.from_array(np.roll(scales, number), f"s{number}"))
        return nodes, tensors


PEERS = (Torch32, Torch16, Int8, FourBits)
