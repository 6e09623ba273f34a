"""A picture file as the input of a packed network."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from onebit.core.errors import require


def read(path: Path, channels: int, height: int, width: int, invert: bool = False) -> np.ndarray:
    """The picture at ``path`` in the network's size and colours: ``(1, C, H, W)`` uint8.

    Of an animation it is the first picture. It is turned as its camera says; what is transparent is white; 16 bits a
    pixel become 8.

    Args:
        path: any format that Pillow reads.
        channels: 1 (grey) or 3 (red, green, blue).
        height, width: the size it is scaled to.
        invert: swap light and dark.

    Raises:
        ValueError: the file is no picture, is damaged, or has pixels of a kind without a range (32-bit integers,
            floats); or the network does not take pictures.
        OSError: the file cannot be read.
    """
    if channels not in (1, 3):
        raise ValueError(f"the network takes {channels} channels, and a picture has 1 (grey) or 3 (red, green, blue)")
    pillow = require("PIL.Image", "train", "reading pictures")
    ops = require("PIL.ImageOps", "train", "reading pictures")
    try:
        with pillow.open(path) as file:
            opened = ops.exif_transpose(_of_bytes(pillow, path, file))
            # What is transparent shows what is behind it: white, as every viewer does.
            if opened.mode in ("RGBA", "LA", "PA") or "transparency" in opened.info:
                rgba = opened.convert("RGBA")
                opened = pillow.alpha_composite(pillow.new("RGBA", rgba.size, "white"), rgba)
            picture = opened.convert("L" if channels == 1 else "RGB")
    except (pillow.UnidentifiedImageError, SyntaxError) as error:
        raise ValueError(f"{path} is not a picture that can be read") from error
    except pillow.DecompressionBombError as error:
        raise ValueError(f"{path} is too large for a picture: {error}") from error
    except OSError as error:
        if error.errno is not None:
            raise
        raise ValueError(f"{path} is a damaged picture: {error}") from error
    if picture.size != (width, height):
        picture = picture.resize((width, height), pillow.Resampling.BILINEAR, reducing_gap=2.0)
    pixels = np.asarray(picture, dtype=np.uint8).reshape(height, width, channels).transpose(2, 0, 1)[None]
    return np.ascontiguousarray(255 - pixels if invert else pixels)


def _of_bytes(pillow: ModuleType, path: Path, opened: Any) -> Any:
    """The picture with pixels of bytes; Pillow itself would clip wider ones to 255, and show white."""
    if opened.mode.startswith("I;16") or (opened.mode == "I" and opened.format == "PNG"):
        wide = np.asarray(opened, dtype=np.uint32)
        return pillow.fromarray(((wide + 128) // 257).astype(np.uint8))
    if opened.mode in ("I", "F"):
        kind = "integers of 32 bits" if opened.mode == "I" else "floats"
        raise ValueError(f"{path} has pixels that are {kind}, which have no range: save it with 8 or 16 bits a pixel")
    return opened


def looks_inverted(pixels: np.ndarray, mean: list[float]) -> bool:
    """Whether the picture is light where the network's training images are dark, or the other way round."""
    if not mean:
        return False
    here, there = float(pixels.mean()) / 255, sum(mean) / len(mean)
    return abs(here - there) > 0.35 and abs((1 - here) - there) < 0.2
