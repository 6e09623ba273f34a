"""Pages as text: templates of ours, filled in; every one is self-contained and has the same style."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from onebit.core.errors import require


@functools.cache
def _environment() -> Any:
    jinja2 = require("jinja2", "train", "writing pages")
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=jinja2.select_autoescape(["html", "jinja"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )


def render(template: str, **values: Any) -> str:
    """A template of this folder with its values.

    Args:
        template: name of the file.
        **values: every name that stands in it; a missing one is an error.
    """
    return _environment().get_template(template).render(**values)
