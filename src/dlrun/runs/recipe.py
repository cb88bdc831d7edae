"""What is to be run, typed: the composed config is resolved here, once, and nothing below this file sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from html import escape
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from torch import nn

from dlrun.config.build import Component, check_settings, check_types, component, resolve
from dlrun.config.compose import Composed
from dlrun.config.schema import CrossValidation, Precision
from dlrun.data.prepare import DataSettings, SourceSettings, read_data
from dlrun.errors import Mistake
from dlrun.models.arguments import SUPPLIED
from dlrun.models.initializers import Initializer, read_initializer
from dlrun.plots.draw import Picture, read_pictures
from dlrun.runtime import Runtime, check_seed, choose_device, choose_threads
from dlrun.store.record import Record
from dlrun.tasks.chosen_metrics import read_metrics
from dlrun.tasks.metric import Metric
from dlrun.training.contracts import Fitter
from dlrun.training.estimator import is_estimator
from dlrun.training.optimizers import OptimizerSettings, read_optimizer
from dlrun.training.penalties import Penalty
from dlrun.training.schedules import ScheduleSettings, read_schedule
from dlrun.training.trainer import Trainer


@dataclass
class Run:
    """A run that has ended: its folder, what `metrics.json` holds, and the exit code of the command."""

    folder: Path
    metrics: dict[str, Any]
    exit_code: int

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the figures of each split with the baseline's beside them, and the folder."""
        record = Record.read(self.metrics, str(self.folder))
        splits = list(record.figures)
        names = (
            [name for name in record.figures[splits[-1]] if name.rpartition("/")[2] != "confusion_matrix"]
            if splits
            else []
        )
        head = "".join(f"<th>{split}</th><th>baseline</th>" for split in splits)
        rows = []
        for name in names:
            values = [record.figure(f"{of}{split}/{name}") for split in splits for of in ("", "baseline/")]
            cells = "".join("<td>–</td>" if value is None else f"<td>{value:.4g}</td>" for value in values)
            rows.append(f"<tr><th>{escape(name)}</th>{cells}</tr>")
        table = f"<table><tr><th></th>{head}</tr>{''.join(rows)}</table>" if rows else ""
        return f"{table}<p>{record.status}: {escape(str(self.folder))}</p>"


@dataclass(frozen=True)
class Compute:
    """Where and how a run computes: the keys `device`, `threads`, `precision` and `deterministic`."""

    device: str
    threads: int | str
    precision: Precision
    deterministic: bool


@dataclass(frozen=True)
class Output:
    """What is written and shown: the keys `output_dir`, `plots`, `quiet` and `dry_run`."""

    output_dir: str
    plots: tuple[Picture, ...]
    quiet: bool
    dry_run: bool


@dataclass(frozen=True)
class Recipe:
    """One run, resolved: each `_target_` a Component whose settings fit its signature. Never pickled.

    Attributes:
        data: where the data come from.
        data_settings: what is done with the rows of any data.
        cv: the fold that is run, if any.
        model: the network, or the estimator of scikit-learn.
        fitter: how it is trained.
        optimizer, schedule, loss, initializer, penalty, class_weight: how a network learns; a schedule or loss that
            is None is a constant learning rate, and the task's own loss.
        loss_weights: of several targets with a task each, by target.
        metrics: those that are chosen besides the task's own.
        compute, output: where it computes, and what is written.
        seed: of everything random.
        config: the whole config as plain values, for the record.
        choices: the choice made in each group.
        overrides: the command line.
    """

    data: SourceSettings
    data_settings: DataSettings
    cv: CrossValidation
    model: Component
    fitter: Fitter
    optimizer: OptimizerSettings
    schedule: ScheduleSettings | None
    loss: Component | None
    loss_weights: Mapping[str, Any]
    initializer: Initializer
    penalty: Penalty
    class_weight: Any
    metrics: tuple[Metric, ...]
    compute: Compute
    output: Output
    seed: int
    config: Mapping[str, Any]
    choices: Mapping[str, str]
    overrides: tuple[str, ...]

    def runtime(self) -> Runtime:
        """Return where it computes: one thread until the work is known, so that this alone decides the bits.

        An estimator of scikit-learn computes on the CPU, whatever is chosen.

        Raises:
            Mistake: there is no such device here.
        """
        device = choose_device(self.compute.device if self.fitter.trains_networks else "cpu")
        return Runtime(device, self.compute.precision, 1, self.compute.deterministic, self.seed)

    @property
    def names(self) -> tuple[str, str]:
        """The names that the run folder is called by: of data and model."""
        return self.choices["data"], self.choices["model"]


def plain(config: DictConfig) -> dict[str, Any]:
    """Return a config as nested dicts, lists and plain values."""
    return OmegaConf.to_container(config, resolve=True, enum_to_str=True)  # type: ignore[return-value]


def read_recipe(composed: Composed) -> Recipe:
    """Resolve a composed config, and refuse whatever can be seen to be wrong before any data are read.

    Raises:
        Mistake: a target or a setting that does not fit, in one line at its key.
    """
    config = plain(composed.config)
    allowed = tuple(config["allow_targets"])
    choose_threads(config["threads"], 0)
    check_seed(config["seed"])
    fitter = read_fitter(config["trainer"], allowed)
    data, data_settings = read_data(config["data"], allowed)
    kind = nn.Module if fitter.trains_networks else is_estimator
    model = component(config["model"], "model", kind, allowed, (*SUPPLIED, "random_state"))
    loss = _chosen_loss(config["loss"])
    recipe = Recipe(
        data,
        data_settings,
        typed(CrossValidation, config["cv"], "cv"),
        model,
        fitter,
        read_optimizer(config["optimizer"], allowed),
        read_schedule(config["scheduler"], allowed),
        component(loss, "loss", nn.Module, allowed) if loss else None,
        _loss_weights(config["loss"]),
        read_initializer(config["initializer"]),
        typed(Penalty, config["penalty"], "penalty"),
        config["class_weight"],
        read_metrics(config["metrics"], allowed),
        Compute(config["device"], config["threads"], Precision[config["precision"]], config["deterministic"]),
        Output(config["output_dir"], read_pictures(config["plots"], allowed), config["quiet"], config["dry_run"]),
        config["seed"],
        config,
        dict(composed.choices),
        tuple(composed.overrides),
    )
    if not fitter.trains_networks:
        refuse_network_settings(recipe)
    return recipe


def _chosen_loss(node: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Return the config node `loss`, or None for the task's own, which has no settings."""
    chosen = node or {}
    if chosen.get("_target_") is not None:  # in the place of loss=task, whose only setting is null
        return {name: value for name, value in chosen.items() if name != "weights" or value is not None}
    for name in chosen:
        if name not in ("_target_", "weights"):
            raise Mistake(f"loss.{name}: loss=task has no settings; choose a loss that has them (loss=…)")
    return None


def _loss_weights(node: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Return the weight of each target's loss, where any is given."""
    weights = (node or {}).get("weights") if not (node or {}).get("_target_") else None
    if weights is not None and not isinstance(weights, Mapping):
        raise Mistake(f"loss.weights is {weights}: weights by target belong here: {{infected: 0.8, score: 0.2}}")
    return weights or {}


def read_fitter(node: Mapping[str, Any], allowed: tuple[str, ...]) -> Fitter:
    """Return the fitter that the config node `trainer` describes.

    Settings of gradient descent that it does not have (a closed form has no epochs) mean nothing to it; they are
    checked all the same.

    Raises:
        Mistake: no fitter, or a setting that is none.
    """
    target = resolve(node, "trainer", is_fitter, allowed)
    own = {f.name for f in fields(target)}
    meaningless = {f.name for f in fields(Trainer)} - own
    of_trainer = {name: value for name, value in node.items() if name in meaningless}
    Component("trainer", Trainer, check_settings(Trainer, of_trainer, "trainer")).build()  # its own checks too
    kept = {name: value for name, value in node.items() if name not in meaningless}
    return component(kept, "trainer", is_fitter, allowed).build()


def is_fitter(target: object) -> bool:
    """a fitter: a dataclass with fit, check, steps and trains_networks, such as dlrun.training.trainer.Trainer"""
    wanted = ("fit", "check", "steps", "trains_networks", "__dataclass_fields__")
    return isinstance(target, type) and all(hasattr(target, name) for name in wanted)


def typed(kind: type, values: object, key: str) -> Any:
    """Return a dataclass made of the values of a config node.

    Raises:
        Mistake: an unknown key, or a value of another type.
    """
    return check_types({key: kind}, {key: values}, "")[key]


def refuse_network_settings(recipe: Recipe) -> None:
    """Refuse what would do nothing to a scikit-learn estimator, which has settings of its own for such things.

    Raises:
        Mistake: class_weight, penalty, loss or initializer is set.
    """
    penalty = recipe.penalty
    asked = {
        "class_weight": recipe.class_weight is not None,
        "penalty": bool(penalty.l1 or penalty.l2 or penalty.named or penalty.max_norm),
        "loss": recipe.loss is not None,
        "initializer": recipe.initializer != Initializer(),
    }
    for key in asked:
        if asked[key]:
            raise Mistake(f"{key}: does nothing to model=sklearn/…; use the estimator's own settings (+model.{key}=…)")
