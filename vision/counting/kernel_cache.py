"""What compiled kernels need of their surroundings: a folder to be kept in, and no threads of their own.

This module does not load Numba: a method without kernels must not pay for it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType


class KernelCacheUnusable(Exception):
    """Compiled kernels cannot be kept; `str(error)` says which folder to mend."""


class ParallelKernel(Exception):
    """A kernel would start threads; `str(error)` names it.

    Numba's `workqueue` layer, which is there when no other is, aborts the process when two threads call
    such kernels at once; and another number of threads may add floats in another order.
    """


@contextmanager
def keeping_kernels() -> Iterator[None]:
    """Load or run kernels within; a folder that cannot be written is told in words.

    Raises
    ------
    KernelCacheUnusable
    """
    try:
        yield
    except RuntimeError as error:
        if "no locator available" not in str(error):
            raise
        raise KernelCacheUnusable(_words(os.environ.get("NUMBA_CACHE_DIR", ""))) from error


def _words(folder: str) -> str:
    where = f"The folder {folder} (NUMBA_CACHE_DIR)" if folder else "The folder of the software"
    return (
        f"{where} cannot be written, so compiled kernels cannot be kept. "
        "Set NUMBA_CACHE_DIR to a folder that this service may write."
    )


def refuse_parallel_kernels(modules: Mapping[str, ModuleType] | None = None) -> None:
    """Check the kernels of all loaded modules of this room, before any of them runs.

    Raises
    ------
    ParallelKernel
    """
    if "numba" not in sys.modules:
        return
    from numba.core.registry import CPUDispatcher

    for name, module in tuple((sys.modules if modules is None else modules).items()):
        if not name.startswith("vision."):
            continue
        for each in vars(module).values():
            if isinstance(each, CPUDispatcher) and each.targetoptions.get("parallel"):
                raise ParallelKernel(
                    f"The kernel {name}.{each.py_func.__name__} is compiled for threads. Make it serial."
                )
