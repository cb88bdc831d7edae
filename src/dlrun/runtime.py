"""Where and how a run computes: device, threads, precision, seeds, and the record of all that can change its bits."""

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
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dlrun.config.schema import Precision
from dlrun.errors import Mistake
from dlrun.version import __version__

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's <malloc.h>
SMALL_WORK = 20_000_000  # multiply-adds of a step, below which a second thread costs more than it brings


def choose_device(name: str) -> torch.device:
    """Return the device called `name`; auto takes CUDA where there is one, of several the one with most free memory.

    Raises:
        Mistake: no such device, or not on this machine.
    """
    if name == "auto":
        return _idlest_gpu() if torch.cuda.is_available() else torch.device("cpu")
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


def _idlest_gpu() -> torch.device:
    if torch.cuda.device_count() == 1:
        return torch.device("cuda")
    free = [torch.cuda.mem_get_info(index)[0] for index in range(torch.cuda.device_count())]
    return torch.device("cuda", free.index(max(free)))


def choose_threads(threads: str | int, work: int) -> int:
    """Return the CPU threads: the number given, or, by the multiply-adds of a training step, one where these are few.

    Raises:
        Mistake: neither `auto` nor a number from 1 on.
    """
    if threads == "auto":
        return 1 if work < SMALL_WORK else cores()
    if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
        raise Mistake(f"threads is {threads}: it must be auto, or at least 1")
    return threads


def check_seed(seed: int) -> None:
    """Refuse a seed that the generators do not take.

    Raises:
        Mistake: it is negative or too large.
    """
    if not 0 <= seed < 2**32:
        raise Mistake(f"seed is {seed}: it must lie between 0 and {2**32 - 1}")


@functools.cache
def cores() -> int:
    """Return the CPU cores that this process may use: those of its affinity, cgroup or Slurm job, not the machine's."""
    import joblib

    return joblib.cpu_count()


@dataclass
class Runtime:
    """Where and how a run computes: device, arithmetic, threads and seeds.

    A context manager: what it sets for the process, it puts back as it was when it is left. It can be entered again
    while it is entered.

    Args:
        device: where tensors are.
        precision: fp32, fp64, or bf16 (float32 weights under bfloat16 autocast).
        threads: of the CPU; they can be set again by `use_threads`, once the work is known.
        deterministic: whether CUDA kernels whose sums come in no fixed order are refused (CPU kernels have one).
        seed: of Python's, NumPy's and PyTorch's generators; None: they are left alone.
    """

    device: torch.device
    precision: Precision = Precision.fp32
    threads: int = 1
    deterministic: bool = False
    seed: int | None = None
    _entered: list[ExitStack] = field(default_factory=list, repr=False, compare=False)

    @property
    def dtype(self) -> torch.dtype:
        """The type of parameters and inputs: float64 under fp64, else float32."""
        return torch.float64 if self.precision is Precision.fp64 else torch.float32

    def autocast(self) -> AbstractContextManager[Any]:
        """Return bfloat16 autocast on the device under bf16, else a context that does nothing."""
        if self.precision is not Precision.bf16:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)

    def use_threads(self, threads: int) -> None:
        """Compute with so many threads from here on."""
        self.threads = threads
        torch.set_num_threads(threads)

    def __enter__(self) -> Runtime:
        with ExitStack() as stack:
            stack.callback(torch.set_num_threads, torch.get_num_threads())
            stack.enter_context(_determinism(self.deterministic))
            stack.enter_context(_subnormals_flushed())
            stack.enter_context(warnings.catch_warnings())
            warnings.filterwarnings("ignore", message=".*lr_scheduler.step.*before.*optimizer.step.*")
            if self.seed is not None:
                stack.enter_context(_generators_restored())
                seed_all(self.seed)
            keep_freed_memory()
            torch.set_num_threads(self.threads)
            self._entered.append(stack.pop_all())
        return self

    def __exit__(self, *_error: object) -> None:
        self._entered.pop().close()


def seed_all(seed: int) -> None:
    """Seed Python's, NumPy's and PyTorch's generators."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def seed_torch(seed: int) -> None:
    """Seed PyTorch's generators that are in use.

    torch.manual_seed looks for every kind of device, which takes a millisecond.
    """
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(seed)
    if torch.backends.mps.is_available():
        torch.mps.manual_seed(seed)


@contextmanager
def _generators_restored() -> Iterator[None]:
    """Let generators be seeded and drawn from meanwhile; afterwards they are as they were."""
    python, numpy, torch_cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(torch_cpu)
        for index, state in enumerate(cuda):
            torch.cuda.set_rng_state(state, index)


@contextmanager
def _determinism(deterministic: bool) -> Iterator[None]:
    """Refuse CUDA kernels whose sums come in no fixed order meanwhile, or allow them."""
    workspace = os.environ.get("CUBLAS_WORKSPACE_CONFIG")
    if deterministic and workspace is None:
        os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
    cudnn = torch.backends.cudnn
    before = torch.are_deterministic_algorithms_enabled(), cudnn.deterministic, cudnn.benchmark
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    if deterministic != before[0]:  # the call itself costs a second of imports
        torch.use_deterministic_algorithms(deterministic)
    cudnn.deterministic, cudnn.benchmark = deterministic, False
    try:
        yield
    finally:
        if deterministic != before[0]:
            torch.use_deterministic_algorithms(before[0], warn_only=warn_only)
        _, cudnn.deterministic, cudnn.benchmark = before
        if workspace is None:
            os.environ.pop("CUBLAS_WORKSPACE_CONFIG", None)


@contextmanager
def _subnormals_flushed() -> Iterator[None]:
    """Take numbers too small for a normal float (1e-38, of float64 1e-308) as 0 meanwhile.

    Adam's mean of a gradient that has become 0 shrinks to such numbers and never leaves them, and each takes a
    processor as long as a hundred others. PyTorch's threads keep the mode in which they were started.
    """
    for dtype in (np.float32, np.float64):
        np.finfo(dtype)  # remembered from here on; NumPy warns where it looks at them for the first time meanwhile
    flushed = (torch.full((1,), 1e-308, dtype=torch.float64) / 2**10).item() == 0.0  # PyTorch does not tell
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(flushed)


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


def describe(runtime: Runtime) -> dict[str, Any]:
    """Return what `environment.json` records: versions, commit, machine, device and threads. Whatever of it differs may
    change a run's bits.
    """
    device = runtime.device
    record = {
        "dlrun": __version__,
        "commit": _commit(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "platform": platform.platform(),
        "processor": _processor(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "device": str(device),
        "threads": runtime.threads,
        "precision": runtime.precision.name,
        "deterministic": runtime.deterministic,
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
    """Return the commit of dlrun's checkout, or None in an installed package."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        head = subprocess.run(["git", "-C", str(root), "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return head.stdout.strip() or None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()
