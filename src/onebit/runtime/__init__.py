"""Loads and runs packed networks: NumPy and the native engine, nothing else.

    model = onebit.runtime.load("digits.onebit")
    classes = model.predict(model.normalize(images))
"""

from onebit.runtime.backend import available_isas
from onebit.runtime.model import Model, load
from onebit.runtime.port import Port

__all__ = ["Model", "Port", "available_isas", "load"]
