"""Compile all kernels once, at installation: `python -m vision.counting.warm_kernels`.

The kernels are kept in NUMBA_CACHE_DIR where it is set, and beside the software otherwise. They are made for
the processor at hand and for the files as they are; none are shipped.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from functools import partial

from vision.counting import count_images
from vision.counting.kernel_cache import KernelCacheUnusable, keeping_kernels
from vision.counting.method_error import CardLacksValidation
from vision.counting.methods import METHODS, UnknownMethod
from vision.counting.network import WeightsUnusable

RULING = "ruling"


def faults_of(names: Sequence[str]) -> list[str]:
    """Warm the methods named, or the search for a `ruling`; say in words what cannot be used.

    Raises
    ------
    ParallelKernel
        A mistake of the software that could end the process later: it must not start.
    """
    works = [(name, _warm_ruling if name == RULING else partial(count_images.warm, name)) for name in names]
    return [f"{name}: {fault}" for name, work in works if (fault := _tried(work))]


def main() -> int:
    """Warm all; 1 when something cannot be kept."""
    began = time.perf_counter()
    faults = faults_of((*METHODS, RULING))
    if faults:
        print("\n".join(faults), file=sys.stderr)
        return 1
    print(f"Kernels of {', '.join(METHODS)} are ready after {time.perf_counter() - began:.1f} s.")
    return 0


def _warm_ruling() -> None:
    from vision.counting import grid_kernels

    grid_kernels.warm()


def _tried(work: Callable[[], None]) -> str:
    """Do it and return what is wrong, in words; nothing where nothing is."""
    try:
        with keeping_kernels():
            work()
    except (KernelCacheUnusable, WeightsUnusable, UnknownMethod) as fault:
        return str(fault)
    except CardLacksValidation:
        # Its kernels are made all the same; counting by it says what its card lacks.
        return ""
    return ""


if __name__ == "__main__":
    sys.exit(main())
