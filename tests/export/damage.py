"""Damaged ONNX files: bytes changed, cut, doubled; nodes, attributes and tensors that are not what they were."""

from __future__ import annotations

import random

import numpy as np
import onnx

NUMBERS = [-(2**63), -(2**31), -1, 0, 1, 2, 3, 7, 2**31, 2**40, 2**62]


def damaged(choose: random.Random, data: bytes) -> bytes:
    """One random damage of a file."""
    if choose.random() < 0.5:
        return _bytes(choose, bytearray(data))
    model = onnx.ModelProto()
    model.ParseFromString(data)
    for _ in range(choose.randint(1, 3)):
        choose.choice(CHANGES)(choose, model.graph)
    return model.SerializeToString()


def _bytes(choose: random.Random, data: bytearray) -> bytes:
    way = choose.random()
    first, last = sorted(choose.randrange(len(data)) for _ in range(2))
    if way < 0.6:
        for _ in range(choose.randint(1, 6)):
            data[choose.randrange(len(data))] = choose.choice([choose.randrange(256), 0, 255])
    elif way < 0.8:
        del data[first:]
    else:
        data[first:last] = data[first:last] * choose.choice([0, 2])
    return bytes(data)


def _wire(choose: random.Random, graph: onnx.GraphProto) -> None:
    node = choose.choice(graph.node)
    names = [name for other in graph.node for name in other.output] + [t.name for t in graph.initializer] + [""]
    if node.input:
        node.input[choose.randrange(len(node.input))] = choose.choice(names)


def _drop(choose: random.Random, graph: onnx.GraphProto) -> None:
    node = choose.choice(graph.node)
    for entries in (node.input, node.attribute):
        if entries and choose.random() < 0.5:
            del entries[choose.randrange(len(entries))]


def _operator(choose: random.Random, graph: onnx.GraphProto) -> None:
    from onebit.capture.onnx.call import rules

    choose.choice(graph.node).op_type = choose.choice([*rules, "If", "Loop", "Nonsense"])


def _attribute(choose: random.Random, graph: onnx.GraphProto) -> None:
    node = choose.choice(graph.node)
    if not node.attribute:
        return
    entry = choose.choice(node.attribute)
    if entry.ints:
        entry.ints[choose.randrange(len(entry.ints))] = choose.choice(NUMBERS)
    elif entry.type == onnx.AttributeProto.FLOAT:
        entry.f = choose.choice([np.nan, np.inf, -1.0, 0.0])
    else:
        entry.i = choose.choice(NUMBERS)


def _tensor(choose: random.Random, graph: onnx.GraphProto) -> None:
    if not graph.initializer:
        return
    tensor = choose.choice(graph.initializer)
    way = choose.random()
    if way < 0.3 and tensor.dims:
        tensor.dims[choose.randrange(len(tensor.dims))] = choose.choice(NUMBERS)
    elif way < 0.5:
        tensor.data_type = choose.randint(0, 24)
    elif way < 0.6:
        tensor.data_location = onnx.TensorProto.EXTERNAL
    elif tensor.data_type == onnx.TensorProto.INT64 and tensor.raw_data:
        numbers = np.frombuffer(tensor.raw_data, np.int64).copy()
        numbers[choose.randrange(numbers.size)] = choose.choice(NUMBERS)
        tensor.raw_data = numbers.tobytes()


CHANGES = [_wire, _drop, _operator, _attribute, _tensor]
