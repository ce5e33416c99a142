"""Reading models of any class: all that is beside this file is imported, and so each class has said its name."""

from importlib import import_module
from pkgutil import iter_modules

import fastmix.estimators
from fastmix.estimators.modelfile import load, read_model

__all__ = ["load", "read_model"]

for _each in iter_modules(fastmix.estimators.__path__, "fastmix.estimators."):
    if _each.name != __name__:
        import_module(_each.name)
