"""``onebit inspect``: the graph of a packed file as a table."""

from __future__ import annotations

from onebit.cli.arguments import File
from onebit.cli.output import in_bytes, in_count, packed_file, print_json, print_table


def inspect(file: File, /, *, json: bool = False) -> None:
    """Print the graph of a packed file: each node with its output's type, parameters, their bits, operations, memory,
    ACE.

    Example: onebit inspect network.onebit

    Args:
        file: the packed file.
        json: print JSON instead of a table.
    """
    from onebit import ir
    from onebit.ir import cost

    graph = ir.load(packed_file(file))
    rows = [*(nodes := cost.table(graph)), cost.total(nodes)]
    size = file.stat().st_size
    if json:
        print_json({"file": file, "bytes": size, "meta": graph.meta, "nodes": rows})
        return
    print_table(
        f"{file}: {in_bytes(size)}, {len(graph.nodes)} nodes",
        ("", "<node>", "<output>", "parameters", "bits", "operations", "memory", "ACE"),
        (
            (i if row.output else "", row.kind, row.output or "", *cost_cells(row), in_count(row.ace))
            for i, row in enumerate(rows)
        ),
        [
            f"ACE (multiply-accumulates x bits x bits) {rows[-1].ace:,}, CPU64 {rows[-1].cpu64:,.0f}",
            *(f"{name}: {value}" for name, value in graph.meta.items()),
        ],
    )


def cost_cells(row) -> tuple[str, str, str, str]:
    """Parameters, their bits, operations by number system, and memory of a row of ``ir.cost.table``, for people."""
    operations = ", ".join(f"{in_count(n)} {name.replace('_', ' ')}" for name, n in row.operations.items() if n)
    return in_count(row.parameters), in_count(row.bits), operations, in_bytes(row.memory)
