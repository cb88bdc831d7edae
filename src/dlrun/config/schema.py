"""The typed schema of the root keys, and what each key is for; `configs/config.yaml` has the defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal

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
    metrics: Any = field(default_factory=list)
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
    plots: Any = field(default_factory=lambda: ["all"])
    name: str | None = None
    note: str | None = None
    quiet: bool = False
    debug: bool = False
    dry_run: bool = False
    allow_targets: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Key:
    """What a config key is for.

    Attributes:
        changes: `bits` of the results, and so what identifies a run; the `place` where it is computed or written; or
            the `look` of what is shown.
        literal: whether the value is any text (a column `Time (min)`, a file `houses (1).csv`) and need not be quoted
            for Hydra's grammar.
        from_folder: what becomes of it in a run folder, which may be someone else's: it is `kept`; `dropped`, for it is
            the business of the person at the shell; or the folder is `refused`.
        resumable: whether it may change when a run is resumed.
        resumable_parts: whether it may change when a sweep or a run in parts is resumed.
        of_split: whether it decides which rows of the data are used, and so means nothing for other data.
    """

    changes: Literal["bits", "place", "look"] = "bits"
    literal: bool = False
    from_folder: Literal["kept", "dropped", "refused"] = "kept"
    resumable: bool = False
    resumable_parts: bool = False
    of_split: bool = False


PLACE, LOOK, SPLIT = Key("place"), Key("look"), Key(of_split=True)
KEYS: dict[str, Key] = {  # those that are anything else than a Key(); what is said of a key holds for those below it
    "allow_targets": Key("place", from_folder="dropped", resumable=True, resumable_parts=True),
    "data.augment": SPLIT,
    "data.classes": SPLIT,
    "data.data_dir": Key("place", literal=True, resumable=True, resumable_parts=True),
    "data.file": Key(from_folder="refused"),
    "data.files": Key(from_folder="refused"),
    "data.in_memory": PLACE,
    "data.limit": SPLIT,
    "data.path": Key(literal=True, resumable=True),  # by the checksum of what is in it the data are the same
    "data.path_test": Key(literal=True, resumable=True),
    "data.path_valid": Key(literal=True, resumable=True),
    "data.permute": SPLIT,
    "data.positive": SPLIT,
    "data.scale_target": SPLIT,
    "data.split": SPLIT,
    "data.split_seed": SPLIT,
    "data.target": Key(literal=True),
    "data.task": SPLIT,
    "data.train_rows": SPLIT,
    "data.workers": PLACE,
    "data_dir": Key("place", literal=True, resumable=True, resumable_parts=True),
    "debug": Key("look", resumable=True, resumable_parts=True),
    "device": Key("place", resumable=True, resumable_parts=True),
    "dry_run": LOOK,
    "hydra": Key("place", from_folder="refused"),
    "jobs": Key("place", resumable_parts=True),
    "launcher": Key("place", resumable_parts=True),
    "name": Key("look", literal=True),
    "note": Key("look", literal=True),
    "output_dir": Key("place", literal=True, from_folder="dropped"),
    "plots": LOOK,
    "quiet": Key("look", resumable=True, resumable_parts=True),
    "sweep_dir": Key("place", literal=True, from_folder="dropped"),
    "sweeper": PLACE,
    "sweeper.trials": Key("place", resumable_parts=True),
    "trainer.checkpoint_every": PLACE,
    "trainer.early_stopping.patience": Key(resumable=True),
    "trainer.epochs": Key(resumable=True),
    "trainer.keep_checkpoints": Key("place", resumable=True, resumable_parts=True),
    "trainer.max_minutes": Key("place", resumable=True, resumable_parts=True),
    "workers": PLACE,
}


def key_of(name: str) -> Key:
    """Return what the key `name` (dotted) is for: as it, or the nearest key above it, is declared."""
    while name:
        if name in KEYS:
            return KEYS[name]
        name = name.rpartition(".")[0]
    return Key()


def identifying(config: Mapping[str, object]) -> dict[str, object]:
    """Return the flat `config` without the keys that leave the bits of a run as they are."""
    return {name: value for name, value in config.items() if key_of(name).changes == "bits"}
