"""A run that has ended, loaded: its network or estimator with its own preprocessing, ready to predict."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import safetensors.torch
import torch
from omegaconf import DictConfig, OmegaConf
from safetensors import SafetensorError
from torch import Tensor, nn

from dlrun import environment, trusted
from dlrun.data.features import TablePreprocessing
from dlrun.data.images import ImagePreprocessing
from dlrun.data.module import Preprocessing, Spec, Split
from dlrun.data.series import SeriesPreprocessing
from dlrun.data.targets import to_tensor
from dlrun.data.text import CharacterPreprocessing, TextPreprocessing
from dlrun.errors import Mistake, choose, one_line
from dlrun.evaluation.predictions import Predictions, from_scores
from dlrun.folder import RunFolder
from dlrun.targets import build, check_types
from dlrun.training.trainer import Trainer

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator

PREPROCESSINGS = {
    "table": TablePreprocessing,
    "text": TextPreprocessing,
    "characters": CharacterPreprocessing,
    "images": ImagePreprocessing,
    "series": SeriesPreprocessing,
}


@dataclass
class Trained:
    """What a finished run has learned.

    Attributes:
        folder: of the run.
        config: as the run had it, for reading.
        spec: of the data that it was trained on.
        preprocessing: as it was fitted on the training rows.
        trainer: what scores rows.
        model: the network, on `device` and in evaluation mode, or the estimator.
    """

    folder: RunFolder
    config: DictConfig
    spec: Spec
    preprocessing: Preprocessing
    trainer: Trainer
    model: nn.Module | BaseEstimator
    device: torch.device

    def predict(self, inputs: pd.DataFrame | np.ndarray, threshold: float = 0.5) -> pd.DataFrame:
        """What the model says of new rows.

        Args:
            inputs: a DataFrame with the columns that the run was trained on, in any order and among others; texts;
                images (n, channels, height, width) or (n, height, width) of bytes; windows (n, lags, features).
            threshold: the probability from which on the second of two classes is predicted.

        Returns:
            A row each: `prediction` (a class name, or a quantity in the target's own units; with several targets
            `prediction_<target>`) and, for classes, `probability_<class>`.

        Raises:
            Mistake: the inputs are not of the shape, or lack a column.
        """
        return self.table_of(self.predictions(self.preprocessing.inputs_of(inputs), threshold), _index_of(inputs))

    def predictions(self, inputs, threshold: float = 0.5) -> Predictions:
        """The predictions for raw inputs, as the preprocessing takes them; their truth means nothing."""
        rows = self.rows(inputs)
        return from_scores(self.spec, self.scores({"": rows})[""], rows.targets, threshold=threshold)

    def rows(self, inputs, targets: np.ndarray | None = None) -> Split:
        """Raw inputs as a split on the model's device; without `targets`, these are zeros.

        Raises:
            Mistake: the inputs are not of the shape that the run was trained on.
        """
        stored = self.preprocessing.apply(inputs)
        dtype = environment.dtype_of_precision(self.config.precision)
        stored = stored.to(dtype) if stored.dtype.is_floating_point else stored
        if tuple(stored.shape[1:]) != self.spec.input_shape:
            expected, found = ("×".join(map(str, shape)) for shape in (self.spec.input_shape, stored.shape[1:]))
            raise Mistake(f"input: a row is {found}, and the run was trained on {expected}")
        raw = np.zeros((len(stored), self.spec.outputs)) if targets is None else targets
        raw = raw[:, 0] if targets is None and self.spec.task == "multiclass" else raw
        numbers = np.arange(len(stored))
        split = Split(stored, to_tensor(self.spec.task, raw, dtype), numbers, transform=self.preprocessing.transform)
        return split.to(self.device)

    def scores(self, splits: dict[str, Split]) -> dict[str, Tensor]:
        """The raw scores (n, outputs) of every split."""
        with environment.subnormals_flushed():
            return self.trainer.all_scores(self.model, splits, self.config.precision)

    def table_of(self, found: Predictions, index: pd.Index | None = None) -> pd.DataFrame:
        """Predictions in the reader's terms, a column each."""
        spec = self.spec
        if spec.task in ("binary", "multiclass"):
            columns = {"prediction": np.asarray(spec.class_names, dtype=object)[found.prediction]}
        elif len(spec.target_names) == 1:
            columns = {"prediction": found.prediction[:, 0]}
        else:
            columns = {f"prediction_{n}": found.prediction[:, i] for i, n in enumerate(spec.target_names)}
        if found.probability is not None:
            columns |= {f"probability_{n}": found.probability[:, i] for i, n in enumerate(spec.class_names)}
        return pd.DataFrame(columns, index=index)


def load(run: str, device: str = "auto", allow_targets: tuple[str, ...] = ()) -> Trained:
    """The finished run in a folder. Nothing in the folder can run code by being loaded.

    Args:
        run: a run folder, or `latest`: the newest below outputs/.
        device: `auto`, `cpu`, `cuda`, …
        allow_targets: your own packages, if the run's model is from one of them.

    Raises:
        Mistake: no run folder, one without results, or one that is damaged or not to be trusted.
    """
    folder = RunFolder.open(run)
    if not folder.has("preprocessing.json"):
        metrics = folder.read_json("metrics.json")
        status = metrics.get("status")
        if metrics.get("whole"):
            inner = sorted(str(file.parent) for file in folder.path.rglob("preprocessing.json"))
            raise Mistake(f"{folder}: holds several runs; name one of them: {', '.join(inner[:3])}, …")
        raise Mistake(f"{folder}: this run has no results yet (status {status}); dlrun resume={folder} goes on with it")
    config = stored_config(folder)
    chosen = environment.choose_device(device)
    environment.keep_freed_memory()
    torch.set_num_threads(_threads_of(folder))
    trainer = build(config.trainer, "trainer", Trainer, allow_targets)
    chosen = trainer.device_for(chosen)
    spec = spec_of(folder)
    return Trained(
        folder, config, spec, _preprocessing_of(folder), trainer,
        _model_of(folder, config, spec, trainer, chosen, allow_targets), chosen,
    )  # fmt: skip


def check_threshold(threshold: float, spec: Spec) -> None:
    """Refuse, by a Mistake, what is no probability to divide two classes by, or where there are none to divide."""
    if not 0 < threshold < 1:
        raise Mistake(f"threshold is {threshold}: it must lie between 0 and 1")
    if threshold != 0.5 and spec.task not in ("binary", "multilabel"):
        what = "quantities" if spec.task == "regression" else f"the most probable of {len(spec.class_names)} classes"
        raise Mistake(f"threshold: divides two classes, and this run predicts {what}; leave it out")


def stored_config(folder: RunFolder) -> DictConfig:
    """config.yaml of a run folder: plain values, in which nothing is interpolated.

    Raises:
        Mistake: it is damaged, or refers to what lies outside itself.
    """
    where = folder.path / "config.yaml"
    stored = folder.read_yaml("config.yaml")
    if not isinstance(stored, dict) or not all(isinstance(stored.get(key), dict) for key in ("model", "trainer")):
        raise Mistake(f"{where}: is damaged (no config of a run)")
    if "${" in json.dumps(stored, default=str):
        raise Mistake(f"{where}: is no config of a run, which refers to nothing outside (it has ${{…}})")
    choose(stored.get("precision"), dict.fromkeys(("fp32", "fp64", "bf16")), f"{where}: precision")
    if (frozen := stored["model"].pop("freeze_embedding", None)) is not None:  # what initializer.frozen says now
        stored.setdefault("initializer", {})["frozen"] = ["embedding.weight"] if frozen else None
    return OmegaConf.create(stored)


def _threads_of(folder: RunFolder) -> int:
    """The threads that the run used: with as many, the figures are the same to the last bit."""
    threads = folder.read_json("environment.json").get("threads")
    return threads if isinstance(threads, int) and 1 <= threads <= 1024 else 1


def spec_of(folder: RunFolder) -> Spec:
    """What the data of a run folder are.

    Raises:
        Mistake: preprocessing.json is damaged.
    """
    where = folder.path / "preprocessing.json"
    described = folder.read_json("preprocessing.json").get("spec")
    try:
        values = check_types(_SPEC_TYPES, described, "spec")
        return Spec(**{**values, "input_shape": tuple(int(size) for size in values["input_shape"])})
    except (Mistake, TypeError, ValueError, KeyError, AttributeError) as error:
        raise Mistake(f"{where}: is damaged ({one_line(error)})") from error


_SPEC_TYPES = {
    "task": str, "outputs": int, "class_names": list[str], "feature_names": list[str], "target_names": list[str],
    "target_mean": list[float], "target_scale": list[float],
}  # fmt: skip


def _preprocessing_of(folder: RunFolder) -> Preprocessing:
    where = folder.path / "preprocessing.json"
    described = folder.read_json("preprocessing.json").get("inputs")
    fitted = None
    if folder.has("preprocessing.skops"):
        fitted = trusted.loads(folder.read_bytes("preprocessing.skops"), str(folder.path / "preprocessing.skops"))
    try:
        return choose(described["kind"], PREPROCESSINGS, "kind").restore(described, fitted)
    except (Mistake, TypeError, ValueError, KeyError, AttributeError) as error:
        raise Mistake(f"{where}: is damaged ({type(error).__name__}: {one_line(error)})") from error


def _model_of(
    folder: RunFolder,
    config: DictConfig,
    spec: Spec,
    trainer: Trainer,
    device: torch.device,
    allowed: tuple[str, ...],
) -> nn.Module | BaseEstimator:
    if trainer.model_class is not nn.Module:
        estimator = trusted.loads(folder.read_bytes("model.skops"), str(folder.path / "model.skops"))
        if not isinstance(estimator, trainer.model_class):
            raise Mistake(f"{folder.path / 'model.skops'}: holds no {trainer.model_class.__name__}")
        return estimator
    model = build(config.model, "model", nn.Module, allowed, **spec.supplied())
    model.to(device=device, dtype=environment.dtype_of_precision(config.precision))
    try:
        weights = safetensors.torch.load(folder.read_bytes("model.safetensors"))
        model.load_state_dict(weights)
    except (SafetensorError, RuntimeError) as error:
        raise Mistake(
            f"{folder.path / 'model.safetensors'}: are not this model's weights ({one_line(error)})"
        ) from error
    return model.eval()


def _index_of(inputs) -> pd.Index | None:
    return inputs.index if isinstance(inputs, pd.DataFrame) else None
