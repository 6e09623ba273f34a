"""Loads and runs packed networks: NumPy and the native engine, nothing else.

model = onebit.runtime.load("digits.onebit")
classes = model.predict(model.normalize(images))
"""

from onebit.runtime.backend import available_isas
from onebit.runtime.model import Model, load
from onebit.runtime.port import Port
from onebit.runtime.profile import Operation, Profile

__all__ = ["Model", "Operation", "Port", "Profile", "available_isas", "load"]
