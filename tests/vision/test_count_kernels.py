"""Kernels need a folder and no threads; what is wrong with either is told in words before anything runs."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import time
from pathlib import Path
from subprocess import PIPE
from types import ModuleType

import pytest
from numba import njit

from vision.counting import kernel_cache, methods, warm_kernels


def _kernels(parallel: bool) -> dict[str, ModuleType]:
    module = ModuleType("vision.counting.made_up_kernels")
    module.add = njit(parallel=parallel)(lambda a: a + 1)  # type: ignore[attr-defined]
    return {module.__name__: module}


def test_a_kernel_that_starts_threads_is_refused_by_its_name():
    with pytest.raises(kernel_cache.ParallelKernel, match="made_up_kernels"):
        kernel_cache.refuse_parallel_kernels(_kernels(parallel=True))

    kernel_cache.refuse_parallel_kernels(_kernels(parallel=False))


def test_no_kernel_of_any_method_starts_threads():
    for name in methods.METHODS:
        methods.method_named(name)
    importlib.import_module("vision.counting.grid_kernels")

    kernel_cache.refuse_parallel_kernels()


def test_a_folder_that_cannot_be_written_is_named(monkeypatch):
    def unwritable(name: str) -> ModuleType:
        raise RuntimeError("cannot cache function 'add': no locator available for file 'kernels.py'")

    monkeypatch.setattr(methods.importlib, "import_module", unwritable)
    monkeypatch.setenv("NUMBA_CACHE_DIR", "/var/cache/nobody")

    with pytest.raises(kernel_cache.KernelCacheUnusable, match=r"/var/cache/nobody .* cannot be written"):
        methods.method_named("nuclei")


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("kernel_cache.KernelCacheUnusable('It cannot be used.')", "no_kernel_cache"),
        ("network.WeightsUnusable('It cannot be used.')", "weights_unusable"),
    ],
)
def test_the_worker_says_ready_and_refuses_in_words_what_it_cannot_load(fault, reason):
    code = (
        "import sys\n"
        "from vision import worker\n"
        "from vision.counting import kernel_cache, network\n"
        f"def unusable(name): raise {fault}\n"
        "from vision.counting import count_images\n"
        "count_images.method_named = unusable\n"
        "sys.exit(worker.main())\n"
    )
    request = {"id": 1, "op": "count", "images": ["x.png"], "method": "trypan-blue"}

    run = subprocess.run(
        [sys.executable, "-c", code], input=json.dumps(request).encode(), capture_output=True, timeout=60
    )

    ready, answer = (json.loads(line) for line in run.stdout.splitlines())
    assert ready["ready"] is True
    assert run.stderr.count(b"cannot be used") >= 1
    assert (answer["ok"], answer["reason"]) == (False, reason)


def test_the_other_methods_are_loaded_while_nothing_is_asked():
    worker = subprocess.Popen([sys.executable, "-m", "vision.worker"], stdin=PIPE, stdout=PIPE)
    assert worker.stdout is not None
    worker.stdout.readline()
    mapped = Path(f"/proc/{worker.pid}/maps")

    at_first = "llvmlite" in mapped.read_text()
    limit = time.monotonic() + 60
    while "llvmlite" not in mapped.read_text() and time.monotonic() < limit:
        time.sleep(0.05)
    later = "llvmlite" in mapped.read_text()
    worker.communicate(timeout=60)

    assert (at_first, later, worker.returncode) == (False, True, 0)


def test_installing_warms_every_method(monkeypatch, capsys):
    warmed: list[str] = []
    monkeypatch.setattr(warm_kernels.count_images, "warm", warmed.append)

    assert warm_kernels.main() == 0

    assert tuple(warmed) == methods.METHODS


def test_an_installation_whose_kernels_cannot_be_kept_says_so(monkeypatch, capsys):
    def unwritable(name: str) -> None:
        raise kernel_cache.KernelCacheUnusable("The folder cannot be written.")

    monkeypatch.setattr(warm_kernels.count_images, "warm", unwritable)

    assert warm_kernels.main() == 1

    assert capsys.readouterr().err.count("The folder cannot be written.") == len(methods.METHODS)


def test_help_loads_neither_opencv_nor_the_compiler():
    code = (
        "import sys; from vision.counting.count_command import count; count(['--help']);"
        "print([m for m in ('cv2', 'numba', 'numpy') if m in sys.modules])"
    )

    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)

    assert run.stdout.splitlines()[-1] == "[]"


def test_a_count_of_known_scale_by_a_method_without_kernels_needs_no_compiler():
    code = "import sys, vision.counting.count_images, vision.counting.annotate, vision.counting.report;"
    code += "print('numba' in sys.modules)"

    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)

    assert run.stdout.strip() == "False"
