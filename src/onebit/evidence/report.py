"""The demo's result in words and as a table, the same on the terminal and on the page."""

from __future__ import annotations

from onebit.evidence.demo import ENGINE, ONNX, TORCH, Demo


def size(count: int) -> str:
    """A file size in kilobytes of 1000 bytes.

    Example:
        >>> size(34_512)
        '34.5 kB'
    """
    return f"{count / 1000:.1f} kB"


def duration(seconds: float) -> str:
    """Microseconds below a millisecond, milliseconds above.

    Example:
        >>> duration(41.4e-6), duration(0.00212)
        ('41 us', '2.12 ms')
    """
    return f"{seconds * 1e6:.0f} us" if seconds < 1e-3 else f"{seconds * 1e3:.2f} ms"


def table(demo: Demo) -> tuple[list[str], list[list[str]]]:
    """Column names and rows: accuracy, size and latency of the float twin, the network of bits, the packed file."""

    def percent(share: float) -> str:
        return f"{100 * share:.2f} %"

    columns = [
        "",
        "float32 twin, PyTorch",
        "float32 twin, ONNX Runtime",
        "network of bits, PyTorch",
        "packed file, engine",
    ]
    rows = [
        [
            "test accuracy",
            percent(demo.float_accuracy),
            "-",
            percent(demo.bits_accuracy),
            percent(demo.packed_accuracy),
        ],
        ["file size", size(demo.float_bytes), "-", "-", size(demo.packed_bytes)],
        [
            "latency, 1 image, 1 thread",
            duration(demo.latency[TORCH].median),
            duration(demo.latency[ONNX].median) if ONNX in demo.latency else "-",
            "-",
            duration(demo.latency[ENGINE].median),
        ],
    ]
    return columns, rows


def lead(demo: Demo) -> list[str]:
    """What came out, in whole sentences."""
    fast = f"{demo.faster(TORCH):.1f} times as fast as PyTorch float32"
    if ONNX in demo.latency:
        fast += f" and {demo.faster(ONNX):.1f} times as fast as ONNX Runtime float32"
    return [
        f"The packed file is {demo.smaller:.1f} times smaller than the float32 twin's weights, {fast} at batch 1 on "
        f"one thread, and classifies {100 * demo.packed_accuracy:.2f} % of {demo.test_examples} test images rightly "
        f"(float32 twin: {100 * demo.float_accuracy:.2f} %).",
        exactness(demo),
    ]


def exactness(demo: Demo) -> str:
    """Whether engine and interpreter agree bit for bit, and on what that was checked."""
    names = ", ".join(e.isa for e in demo.exactness)
    outputs = demo.exactness[0].outputs if demo.exactness else 0
    found = f"{demo.differing_bits} bits differ" if demo.differing_bits else "not one bit differs"
    return (
        f"Engine against interpreter: {found} in {outputs} float32 outputs for {demo.exact_examples} test images on "
        f"each instruction set of this machine ({names})."
    )


def notes(demo: Demo) -> list[str]:
    """How the numbers were measured."""
    return [
        "The float32 twin has the same architecture without quantizers and was trained by the same recipe; its size is "
        "that of its state as safetensors.",
        "Latencies are medians of runs that took turns in one process, three in a row, one thread each; "
        f"the engine used {demo.isa}.",
        f"{demo.epochs} epochs of training: {demo.training_seconds:.0f} s (float twin: "
        f"{demo.float_training_seconds:.0f} s).",
    ]
