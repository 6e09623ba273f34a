"""``onebit summary``: what a network costs, layer by layer, before it is packed."""

from __future__ import annotations

from onebit.cli.arguments import Model, Name, Shape, Sizes
from onebit.cli.model import check_fit, example_input, parse_shape, resolve
from onebit.cli.output import print_json, progress


def summary(
    model: Model,
    /,
    *,
    input: Shape = "",
    data: Name = "",
    scheme: Name = "",
    size: Sizes = (),
    json: bool = False,
) -> None:
    """Bits, operations and memory of every layer of a network, before packing.

    Example: onebit summary resnet18 --scheme react --input 3,224,224

    Args:
        model: a run folder, a registered model, or package.module:factory.
        input: sizes of one example, such as 3,32,32; those of the data set by default.
        data: a data set that sizes are taken from; that of the run by default.
        scheme: of a registered model; see `onebit list schemes`. Without one: the float network.
        size: NAME=VALUE of a registered model, such as width=32; several may follow.
        json: print JSON.
    """
    shape = parse_shape(input)
    found = resolve(model, data, scheme, size, load_data=not shape)
    if not shape and found.data is None:
        raise ValueError(
            "--input or --data is required: the cost depends on the size of the input, such as --input 3,32,32"
        )
    from onebit.capture import summary as summarize

    sizes = shape or (found.data.input_shape if found.data is not None else ())
    check_fit(found.model, example_input(None, sizes))
    with progress("reading the network", quiet=json):
        result = summarize(found.model, sizes)
    if json:
        print_json(result)
    else:
        print(result)
