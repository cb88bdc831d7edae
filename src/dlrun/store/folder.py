"""The run folder: which files it has, and what is in them. Their names stand nowhere else.

Files are written whole or not at all, except the append-only ones (history.csv, timing.csv, sweep.csv).
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlrun.errors import Mistake, one_line
from dlrun.store.directory import Directory
from dlrun.store.files import flatten, writing
from dlrun.store.record import Record

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

FORMAT = 2  # of the run folder; raised when an older dlrun could not read what is written

STARTED_IN = "started_in"  # of the environment: the current folder then

RECORD = "metrics.json"
ENVIRONMENT = "environment.json"
OVERRIDES = "overrides.yaml"
CONFIG = "config.yaml"
HISTORY = "history.csv"
TIMING = "timing.csv"
PREDICTIONS = "predictions.csv"
PREPROCESSING = "preprocessing.json"
FITTED_PREPROCESSING = "preprocessing.skops"
NETWORK = "model.safetensors"
ESTIMATOR = "model.skops"
CHECKPOINT = "checkpoints/last.pt"
PLOTS = "plots"
JOBS = "sweep.csv"
LEARNING_CURVE = "learning_curve.csv"
JOURNAL, LOCK = "study.journal", "study.lock"
WORK = "run.lock"  # is there while a process works in the folder, and after one that was killed
SAME_BITS = (NETWORK, HISTORY, PREDICTIONS)  # of two runs of one config on one machine


class RunFolder(Directory):
    """A folder that belongs to one run, to a run in parts, or to a sweep.

    What reads a file raises `Mistake` where it is not there, is damaged, or is no regular file of this folder.
    """

    # what was asked, and where it ran

    def begin(self, overrides: Sequence[str], config: Mapping[str, Any], environment: Mapping[str, object]) -> None:
        """Write what is known before training: the config, the overrides, the environment, and status running."""
        self.write_json(ENVIRONMENT, {"format": FORMAT, STARTED_IN: os.getcwd(), **environment})
        self.update(overrides, config)

    def update(self, overrides: Sequence[str], config: Mapping[str, Any]) -> None:
        """Write the config, the overrides and status running."""
        self.write_config(config)
        self.write_yaml(OVERRIDES, list(overrides))
        self.write_record(Record(status="running", config=dict(flatten(config))))

    def config(self) -> dict[str, Any]:
        """Return the config, nested, as plain values in which nothing has been interpolated."""
        value = self.read_yaml(CONFIG)
        if not isinstance(value, dict):
            raise Mistake(f"{self.path / CONFIG}: is damaged (no config)")
        return value

    def write_config(self, config: Mapping[str, Any]) -> None:
        """Write the config."""
        self.write_yaml(CONFIG, dict(config))

    def overrides(self) -> list[str]:
        """Return the overrides as they stand; see `command_line.trusted_overrides` for those that may be used."""
        value = self.read_yaml(OVERRIDES)
        if not isinstance(value, list) or not all(isinstance(override, str) for override in value):
            raise Mistake(f"{self.path / OVERRIDES}: is damaged (no list of overrides)")
        return value

    def environment(self) -> dict[str, Any]:
        """Return versions, machine, device, threads and the checksum of the data, as they were when the run began."""
        return self.read_json(ENVIRONMENT)

    @property
    def started_in(self) -> Path | None:
        """The folder that was the current one when the run was started; None where none is recorded."""
        path = self.environment().get(STARTED_IN)
        return Path(path) if isinstance(path, str) and path else None

    # what came of it

    @property
    def has_record(self) -> bool:
        """Whether it has a record at all."""
        return self.has(RECORD)

    def record(self) -> Record:
        """Return the record: status and figures."""
        return Record.read(self.read_json(RECORD), str(self.path / RECORD))

    def write_record(self, record: Record) -> None:
        """Write the record."""
        self.write_json(RECORD, record.to_json())

    def damaged_record(self, reason: object) -> Mistake:
        """Return the mistake of a record that lacks what such a run has."""
        return Mistake(f"{self.path / RECORD}: is damaged ({one_line(reason)})")

    def written(self) -> float:
        """Return when (seconds since 1970) its record or its history was written last."""
        files = [self.path / name for name in (RECORD, HISTORY) if self.has(name)]
        return max((file.lstat().st_mtime for file in files), default=0.0)

    def append_epoch(self, logged: Mapping[str, object], epoch: int, seconds: float) -> None:
        """Append what was logged after an epoch to the history, and its seconds to the timing."""
        self.append_row(HISTORY, logged)
        self.append_row(TIMING, {"epoch": epoch, "seconds": round(seconds, 6)})

    def keep_epochs(self, epochs: int) -> None:
        """Cut history and timing back to so many epochs."""
        for name in (HISTORY, TIMING):
            self.keep_rows(name, epochs)

    def history(self) -> pd.DataFrame:
        """Return what was logged, a row an epoch; no row where nothing was trained by epochs."""
        import pandas as pd

        if not self.has(HISTORY):
            return pd.DataFrame({"epoch": []})
        history = self.read_table(HISTORY)
        for name, column in history.items():
            if not pd.api.types.is_numeric_dtype(column):
                raise Mistake(f"{self.path / HISTORY}: is damaged (column {name} holds something else than numbers)")
        return history

    def write_history(self, history: pd.DataFrame) -> None:
        """Write the averaged history of a run in parts."""
        self.write_table(HISTORY, history)

    def predictions(self) -> pd.DataFrame:
        """Return truth and prediction of every row, as text."""
        return self.read_table(PREDICTIONS, dtype=str, keep_default_na=False)

    def write_predictions(self, content: bytes) -> None:
        """Write the predictions, given as CSV."""
        self.write_bytes(PREDICTIONS, content)

    def damaged_predictions(self, reason: object) -> Mistake:
        """Return the mistake of predictions that are none of such a run."""
        return Mistake(f"{self.path / PREDICTIONS}: is damaged ({one_line(reason)})")

    def digests(self) -> dict[str, str | None]:
        """Return the SHA-256 of each file whose bits a repeated run has too, by name; None for those not there."""
        return {
            name: hashlib.sha256(self.read_bytes(name)).hexdigest() if self.has(name) else None for name in SAME_BITS
        }

    # what has been learned

    @property
    def is_trained(self) -> bool:
        """Whether it holds a model that can be loaded."""
        return self.has(PREPROCESSING)

    def trained_below(self) -> list[Path]:
        """Return the folders, here and below, that hold a model."""
        return sorted(file.parent for file in self.path.rglob(PREPROCESSING))

    def tensors(self) -> dict[str, Tensor]:
        """Return the weights of the network by name, on the CPU."""
        import safetensors.torch  # not where no network is loaded
        from safetensors import SafetensorError

        try:
            return safetensors.torch.load(self.read_bytes(NETWORK))
        except SafetensorError as error:
            raise self.foreign_weights(error) from error

    def foreign_weights(self, reason: object) -> Mistake:
        """Return the mistake of weights that do not fit the network of the config."""
        return Mistake(f"{self.path / NETWORK}: are not this model's weights ({one_line(reason)})")

    def estimator(self, kind: type) -> Any:
        """Return the fitted estimator, of class `kind`."""
        from dlrun.store import skops_objects

        estimator = skops_objects.loads(self.read_bytes(ESTIMATOR), str(self.path / ESTIMATOR))
        if not isinstance(estimator, kind):
            raise Mistake(f"{self.path / ESTIMATOR}: holds no {kind.__name__}")
        return estimator

    def write_weights(self, form: str, content: bytes) -> None:
        """Write the trained model: `safetensors` of a network, or the `skops` of an estimator."""
        self.write_bytes({"safetensors": NETWORK, "skops": ESTIMATOR}[form], content)

    def preprocessing(self) -> dict[str, Any]:
        """Return what describes the `task`, the `rows` and their preprocessing (`inputs`)."""
        return self.read_json(PREPROCESSING)

    def fitted_preprocessing(self) -> Any:
        """Return the scikit-learn object that was fitted to the training rows, or None."""
        from dlrun.store import skops_objects

        if not self.has(FITTED_PREPROCESSING):
            return None
        return skops_objects.loads(self.read_bytes(FITTED_PREPROCESSING), str(self.path / FITTED_PREPROCESSING))

    def write_preprocessing(self, described: Mapping[str, object], fitted: bytes | None) -> None:
        """Write what describes task, rows and preprocessing, and the skops of what was fitted, if anything was."""
        self.write_json(PREPROCESSING, described)
        if fitted:
            self.write_bytes(FITTED_PREPROCESSING, fitted)

    def damaged_preprocessing(self, reason: object) -> Mistake:
        """Return the mistake of a preprocessing that cannot be restored."""
        return Mistake(f"{self.path / PREPROCESSING}: is damaged ({one_line(reason)})")

    @property
    def has_checkpoint(self) -> bool:
        """Whether there is a checkpoint to go on from."""
        return self.has(CHECKPOINT)

    def checkpoint(self) -> bytes | None:
        """Return the last checkpoint, or None where there is none."""
        return self.read_bytes(CHECKPOINT) if self.has_checkpoint else None

    def remove_checkpoint(self) -> None:
        """Delete the last checkpoint, and its folder where nothing else is in it."""
        checkpoint = self._inside(CHECKPOINT)
        with writing(self.path):
            checkpoint.unlink(missing_ok=True)
        with suppress(OSError):
            checkpoint.parent.rmdir()

    def write_checkpoint(self, content: bytes) -> None:
        """Write the last checkpoint."""
        self.write_bytes(CHECKPOINT, content)

    # pictures

    def write_picture(self, name: str, png: bytes) -> None:
        """Write a picture."""
        self.write_bytes(f"{PLOTS}/{name}.png", png)

    def pictures(self) -> list[str]:
        """Return the names of its pictures, in the order of the alphabet."""
        return sorted(file.stem for file in self._inside(PLOTS).glob("*.png"))

    def picture(self, name: str) -> bytes:
        """Return a picture, as PNG."""
        return self.read_bytes(f"{PLOTS}/{name}.png")

    @property
    def plots(self) -> Path:
        """Where its pictures are."""
        return self.path / PLOTS

    # many runs

    def begin_jobs(self) -> None:
        """Empty the table of jobs."""
        self.write_text(JOBS, "")

    def append_job(self, row: Mapping[str, object]) -> None:
        """Append a row to the table of jobs."""
        self.append_row(JOBS, row)

    def write_jobs(self, rows: Sequence[Mapping[str, object]]) -> None:
        """Write the table of jobs anew."""
        self.write_rows(JOBS, rows)

    def learning_curve(self) -> pd.DataFrame | None:
        """Return the figures by number of training rows, or None where there are none."""
        return self.read_table(LEARNING_CURVE) if self.has(LEARNING_CURVE) else None

    def write_learning_curve(self, rows: Sequence[Mapping[str, object]]) -> None:
        """Write the figures by number of training rows."""
        self.write_rows(LEARNING_CURVE, rows)

    def runs_below(self) -> list[RunFolder]:
        """Return the folders, here and below, that have a record, in the order of their paths."""
        return [RunFolder(file.parent) for file in sorted(self.path.rglob(RECORD))]

    # the folder itself

    def remove(self) -> None:
        """Delete the folder with all that is in it, and the two above it where nothing else is in them."""
        shutil.rmtree(self.path, ignore_errors=True)
        with suppress(OSError):
            for empty in list(self.path.parents)[:2]:
                empty.rmdir()
