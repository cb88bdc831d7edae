"""A run folder, loaded: its network or estimator with its own preprocessing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import torch
from omegaconf import DictConfig, OmegaConf
from torch import nn

from dlrun import runtime as environment
from dlrun.config.build import build, check_types
from dlrun.data.preprocessing.characters import CharacterPreprocessing
from dlrun.data.preprocessing.images import ImagePreprocessing
from dlrun.data.preprocessing.series import SeriesPreprocessing
from dlrun.data.preprocessing.table import TablePreprocessing
from dlrun.data.preprocessing.text import TextPreprocessing
from dlrun.data.source import Preprocessing
from dlrun.errors import Mistake, choose
from dlrun.store.finding import open_run
from dlrun.store.folder import CONFIG, RunFolder
from dlrun.tensors import Spec
from dlrun.training.trainer import Trainer

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator
from dlrun.fitted import Trained

PREPROCESSINGS = {
    "table": TablePreprocessing,
    "text": TextPreprocessing,
    "characters": CharacterPreprocessing,
    "images": ImagePreprocessing,
    "series": SeriesPreprocessing,
}


def load(run: str, device: str = "auto", allow_targets: tuple[str, ...] = ()) -> Trained:
    """The finished run in a folder. Nothing in the folder can run code by being loaded.

    Args:
        run: a run folder, or `latest`: the newest below outputs/.
        device: `auto`, `cpu`, `cuda`, …
        allow_targets: your own packages, if the run's model is from one of them.

    Raises:
        Mistake: no run folder, one without results, or one that is damaged or not to be trusted.
    """
    folder = open_run(run)
    if not folder.is_trained:
        record = folder.record()
        if record.kind != "run":
            inner = ", ".join(map(str, folder.trained_below()[:3]))
            raise Mistake(f"{folder}: holds several runs; name one of them: {inner}, …")
        raise Mistake(
            f"{folder}: this run has no results yet (status {record.status}); dlrun resume={folder} goes on with it"
        )
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


def stored_config(folder: RunFolder) -> DictConfig:
    """config.yaml of a run folder: plain values, in which nothing is interpolated.

    Raises:
        Mistake: it is damaged, or refers to what lies outside itself.
    """
    where = folder.path / CONFIG
    stored = folder.config()
    if not all(isinstance(stored.get(key), dict) for key in ("model", "trainer")):
        raise Mistake(f"{where}: is damaged (no config of a run)")
    if "${" in json.dumps(stored, default=str):
        raise Mistake(f"{where}: is no config of a run, which refers to nothing outside (it has ${{…}})")
    choose(stored.get("precision"), dict.fromkeys(("fp32", "fp64", "bf16")), f"{where}: precision")
    if (frozen := stored["model"].pop("freeze_embedding", None)) is not None:  # what initializer.frozen says now
        stored.setdefault("initializer", {})["frozen"] = ["embedding.weight"] if frozen else None
    return OmegaConf.create(stored)


def _threads_of(folder: RunFolder) -> int:
    """The threads that the run used: with as many, the figures are the same to the last bit."""
    threads = folder.environment().get("threads")
    return threads if isinstance(threads, int) and 1 <= threads <= 1024 else 1


def spec_of(folder: RunFolder) -> Spec:
    """What the data of a run folder are.

    Raises:
        Mistake: preprocessing.json is damaged.
    """
    described = folder.preprocessing().get("spec")
    try:
        values = check_types(_SPEC_TYPES, described, "spec")
        return Spec(**{**values, "input_shape": tuple(int(size) for size in values["input_shape"])})
    except (Mistake, TypeError, ValueError, KeyError, AttributeError) as error:
        raise folder.damaged_preprocessing(error) from error


_SPEC_TYPES = {
    "task": str, "outputs": int, "class_names": list[str], "feature_names": list[str], "target_names": list[str],
    "target_mean": list[float], "target_scale": list[float],
}  # fmt: skip


def _preprocessing_of(folder: RunFolder) -> Preprocessing:
    described, fitted = folder.preprocessing().get("inputs"), folder.fitted_preprocessing()
    try:
        return choose(described["kind"], PREPROCESSINGS, "kind").restore(described, fitted)
    except (Mistake, TypeError, ValueError, KeyError, AttributeError) as error:
        raise folder.damaged_preprocessing(f"{type(error).__name__}: {error}") from error


def _model_of(
    folder: RunFolder,
    config: DictConfig,
    spec: Spec,
    trainer: Trainer,
    device: torch.device,
    allowed: tuple[str, ...],
) -> nn.Module | BaseEstimator:
    if trainer.model_class is not nn.Module:
        return folder.estimator(trainer.model_class)
    model = build(config.model, "model", nn.Module, allowed, **spec.supplied())
    model.to(device=device, dtype=environment.dtype_of_precision(config.precision))
    try:
        model.load_state_dict(folder.tensors())
    except RuntimeError as error:
        raise folder.foreign_weights(error) from error
    return model.eval()
