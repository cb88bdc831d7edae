"""A run folder, loaded: its network or estimator with its own preprocessing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import safetensors.torch
import torch
from omegaconf import DictConfig, OmegaConf
from safetensors import SafetensorError
from torch import nn

from dlrun import runtime as environment
from dlrun.config.build import build, check_types
from dlrun.data.preprocessing.characters import CharacterPreprocessing
from dlrun.data.preprocessing.images import ImagePreprocessing
from dlrun.data.preprocessing.series import SeriesPreprocessing
from dlrun.data.preprocessing.table import TablePreprocessing
from dlrun.data.preprocessing.text import TextPreprocessing
from dlrun.data.source import Preprocessing
from dlrun.errors import Mistake, choose, one_line
from dlrun.store import skops_objects as trusted
from dlrun.store.folder import RunFolder
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
