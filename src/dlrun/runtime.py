"""What a run computes on: device, threads, precision, seeds, and the record of all that can change its bits."""

from __future__ import annotations

import ctypes
import functools
import os
import platform
import random
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

import dlrun
from dlrun.config.schema import Config
from dlrun.errors import Mistake

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's <malloc.h>
SMALL_WORK = 20_000_000  # multiply-adds of a step, below which a second thread costs more than it brings


def choose_device(name: str) -> torch.device:
    """The device called `name`; auto takes CUDA where there is one.

    Raises:
        Mistake: no such device, or not on this machine.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise Mistake(f"device: '{name}' is not one of auto, cpu, cuda, cuda:<number>, mps") from error
    if device.type not in ("cpu", "cuda", "mps"):
        raise Mistake(f"device: '{name}' is not one of auto, cpu, cuda, cuda:<number>, mps")
    if device.type == "cuda" and (not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count()):
        raise Mistake(
            f"device: there is no {name} here (torch sees {torch.cuda.device_count()} CUDA devices); "
            "use device=cpu or device=auto"
        )
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise Mistake("device: there is no mps here; use device=cpu or device=auto")
    return device


def choose_threads(threads: str | int, work: int) -> int:
    """CPU threads: the number given, or by the multiply-adds of a training step: one where the work is small.

    Raises:
        Mistake: neither `auto` nor a number from 1 on.
    """
    if threads == "auto":
        return 1 if work < SMALL_WORK else (os.cpu_count() or 1)
    if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
        raise Mistake(f"threads is {threads}: it must be auto, or at least 1")
    return threads


def seed_everything(seed: int) -> None:
    """Seed Python's, NumPy's and PyTorch's generators.

    Raises:
        Mistake: the seed is negative or too large for them.
    """
    if not 0 <= seed < 2**32:
        raise Mistake(f"seed is {seed}: it must lie between 0 and {2**32 - 1}")
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def make_deterministic(deterministic: bool) -> None:
    """Under `deterministic=true` refuse CUDA kernels whose sums come in no fixed order (CPU kernels have one)."""
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    if deterministic != torch.are_deterministic_algorithms_enabled():  # the call itself costs a second of imports
        torch.use_deterministic_algorithms(deterministic)
    torch.backends.cudnn.deterministic = deterministic
    torch.backends.cudnn.benchmark = False
    warnings.filterwarnings("ignore", message=".*lr_scheduler.step.*before.*optimizer.step.*")


def keep_freed_memory() -> None:
    """Let the C library keep what is freed for what is allocated next (glibc; elsewhere nothing happens).

    Each step of a network allocates what the one before it has freed. Given back to the system in between, every page
    is cleared anew: a tenth of the time of a convolutional network, and now and then half that of an evaluation.
    """
    if sys.platform != "linux":
        return
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):
        library.mallopt(M_MMAP_THRESHOLD, 32 * 2**20)  # the most that it takes
        library.mallopt(M_TRIM_THRESHOLD, 256 * 2**20)


@contextmanager
def subnormals_flushed() -> Iterator[None]:
    """Meanwhile, numbers too small for a normal float (1e-38, of float64 1e-308) are 0.

    Adam's mean of a gradient that has become 0 shrinks to such numbers and never leaves them, and each takes a
    processor as long as a hundred others. PyTorch's threads keep the mode in which they were started.
    """
    for dtype in (np.float32, np.float64):
        np.finfo(dtype)  # remembered from here on; NumPy warns where it looks at them for the first time meanwhile
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


def dtype_of_precision(precision: str) -> torch.dtype:
    """The type of parameters and inputs: float64 under fp64, else float32 (bf16 is autocast)."""
    return torch.float64 if precision == "fp64" else torch.float32


def describe(config: Config, device: torch.device) -> dict:
    """What `environment.json` records: versions, commit, machine, device and threads. Whatever of it differs may
    change a run's bits."""
    record = {
        "dlrun": dlrun.__version__,
        "commit": _commit(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "platform": platform.platform(),
        "processor": _processor(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "device": str(device),
        "threads": torch.get_num_threads(),
        "precision": config.precision.name,
        "deterministic": config.deterministic,
    }
    if "sklearn" in sys.modules:
        record["scikit-learn"] = sys.modules["sklearn"].__version__
    if device.type == "cuda":
        record["device_name"] = torch.cuda.get_device_name(device)
        record["cuda"] = torch.version.cuda
        record["cudnn"] = torch.backends.cudnn.version()
    return record


@functools.cache
def _commit() -> str | None:
    """The commit of dlrun's checkout, or None in an installed package."""
    root = Path(dlrun.__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        found = subprocess.run(["git", "-C", str(root), "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()
