"""The typed schema of the root keys; `configs/config.yaml` has the defaults and a line on each."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from omegaconf import MISSING


class Precision(Enum):
    """Arithmetic of the network: float32, float64, or float32 weights with bfloat16 autocast."""

    fp32 = "fp32"
    fp64 = "fp64"
    bf16 = "bf16"


@dataclass
class SplitPart:
    """Which rows become the test or the validation rows: a number of `rows` or else a `fraction` of what is left.

    With neither there are none. `by` is `random` (drawn with `data.split_seed`), `last` or `first` (in order),
    `{time: <column>}` (the latest rows) or `{group: <column>}` (whole groups, drawn at random). The validation rows can
    be the test rows themselves (`test`), as in some courses; the run says so then. `stratify` keeps the class shares;
    null means: where classes are predicted and the rows are drawn at random.
    """

    fraction: float | None = None
    rows: int | None = None
    by: Any = "random"
    stratify: bool | None = None


@dataclass
class Splits:
    """The test rows are taken first, the validation rows from what is left. null: none but those the source ships."""

    test: SplitPart | None = field(default_factory=SplitPart)
    valid: SplitPart | None = field(default_factory=SplitPart)


@dataclass
class CrossValidation:
    """k folds: each plays the test rows once.

    Drawn as `data.split.test.by` says: at random (stratified for classes), whole groups, or, for a series and for
    `by: {time: …}`, in order: each fold is tested after training on the rows before it. `shuffle: false` takes random
    folds in the order of the file. `fold` runs one of them alone, counted from 1.
    """

    folds: int | None = None
    fold: int | None = None
    shuffle: bool = True


@dataclass
class Config:
    """Root keys and their types; `configs/config.yaml` has the defaults and a line on each."""

    data: Any = MISSING
    model: Any = MISSING
    optimizer: Any = MISSING
    initializer: Any = MISSING
    scheduler: Any = MISSING
    loss: Any = None
    class_weight: Any = None
    penalty: Any = MISSING
    trainer: Any = MISSING
    sweep: Any = None
    learning_curve: list[Any] | None = None
    cv: CrossValidation = field(default_factory=CrossValidation)
    repeats: int = 1
    launcher: Any = MISSING
    sweeper: Any = MISSING
    jobs: int | None = None
    sweep_dir: str | None = None
    seed: int = 0
    device: str = "auto"
    threads: Any = "auto"
    workers: Any = "auto"
    precision: Precision = Precision.fp32
    deterministic: bool = False
    data_dir: str | None = None
    output_dir: str = "outputs"
    plots: list[str] = field(default_factory=lambda: ["all"])
    name: str | None = None
    note: str | None = None
    quiet: bool = False
    debug: bool = False
    dry_run: bool = False
    allow_targets: list[str] = field(default_factory=list)
