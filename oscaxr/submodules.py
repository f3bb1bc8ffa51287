"""Modules that come when they are named, in packages that importing oscaxr does not load."""

from collections.abc import Callable
from importlib import import_module
from types import ModuleType


def on_demand(package: str) -> Callable[[str], ModuleType]:
    """Return the ``__getattr__`` of a package, which imports its modules."""

    def module(name: str) -> ModuleType:
        full = f"{package}.{name}"
        # Names such as `__path__` are asked for by Python itself.
        if not name.startswith("__"):
            try:
                return import_module(full)
            except ModuleNotFoundError as error:
                if error.name != full:
                    raise
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return module
