"""``onebit compress``: a packed file as a smaller one of the same network."""

from __future__ import annotations

from onebit.cli.arguments import File, OptionalInt, Output
from onebit.cli.output import packed_file, print_json, progress
from onebit.core.errors import check_range


def compress(
    file: File,
    /,
    *,
    output: Output = None,
    max_depth: OptionalInt = None,
    json: bool = False,
) -> None:
    """Store the kernels of a packed file as a tree of differences where that takes fewer bits; the network is the same.

    Each kernel but one is what differs from the kernel most like it (a minimum spanning tree of Hamming distances).
    The table says how many weight bits and operations a machine needs that computes each output channel from its
    neighbour in the tree: the ratio of random kernels, about 2, stands beside it. The engine decodes the file at load
    and runs it as fast as before. It is worth most for networks trained with onebit.nn.tree_distance_.

    Example: onebit compress digits.onebit -o smaller.onebit

    Example: onebit compress digits.onebit --max-depth 3 --json

    Args:
        file: the packed file.
        output: the new file; by default the name with .tree.onebit in this folder.
        max_depth: most steps between a tree's root and any kernel, for the table; any by default.
        json: print JSON.
    """
    if max_depth is not None:
        check_range("--max-depth", max_depth, 1)
    path = output or type(file)(f"{file.stem}.tree.onebit")
    if path.resolve() == file.resolve():
        raise ValueError(f"--output must be another file than FILE, got {path} for both")
    from onebit import deploy, ir

    with progress("compressing", quiet=json):
        report = deploy.compress(ir.load(packed_file(file)), path, max_depth=max_depth)
    if json:
        layers = [
            {name: getattr(layer, name) for name in (*layer.__dataclass_fields__, *COMPUTED)} for layer in report.layers
        ]
        print_json({"file": path, "report": report, "times_smaller": report.times_smaller, "layers": layers})
    else:
        print(report)


#: What the table says of a layer besides its fields.
COMPUTED = ("parameters", "used", "ratio", "operations", "operations_reused", "additions")
