"""The counting methods by their ids; each one's code and weights are loaded when it is asked for."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from vision.counting.kernel_cache import keeping_kernels

if TYPE_CHECKING:
    from vision.counting.method import Method

# Each module has a `METHOD`. The table is text, so that `--help` loads neither OpenCV nor Numba.
MODULES = {
    "trypan-blue": "vision.counting.trypan_blue",
    "nuclei": "vision.counting.nuclei",
    "live-dead": "vision.counting.live_dead",
}
METHODS = tuple(MODULES)
USUAL = "trypan-blue"


class UnknownMethod(Exception):
    """The asked counting method does not exist; `str(error)` names those that do."""


def method_named(name: str) -> Method:
    """Load a method.

    Raises
    ------
    UnknownMethod
    KernelCacheUnusable
        Its kernels cannot be kept in any folder.
    """
    if name not in MODULES:
        raise UnknownMethod(f"There is no method {name!r}. Use one of: {', '.join(METHODS)}.")
    try:
        with keeping_kernels():
            module = importlib.import_module(MODULES[name])
    except ModuleNotFoundError as missing:
        if missing.name != MODULES[name]:
            raise
        raise UnknownMethod(f"The method {name!r} is not part of this installation.") from missing
    method: Method = module.METHOD
    return method


def identity(name: str) -> dict[str, str]:
    """Id, version and hash of a method: what a qualification and a result are bound to.

    Raises
    ------
    UnknownMethod
    """
    return identity_of(method_named(name))


def identity_of(method: Method) -> dict[str, str]:
    """Id, version and hash of a method that is loaded."""
    return {"id": method.id, "version": method.version, "hash": method.hash()}
