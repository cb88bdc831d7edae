"""From the config to the parts of a run: data, network or estimator, and the training that is to begin."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

import torch
from omegaconf import DictConfig, OmegaConf
from torch import nn

from dlrun import runtime as environment
from dlrun.config.build import build, check_settings, check_types, resolve
from dlrun.config.schema import CrossValidation
from dlrun.data.prepare import load, prepare, split_settings
from dlrun.data.source import Source
from dlrun.data.split import Data
from dlrun.errors import Mistake, blame
from dlrun.models.initializers import check_initializer, initialize
from dlrun.models.summary import Layer, summarize
from dlrun.tasks.running import EpochMetrics
from dlrun.tensors import Spec
from dlrun.training.early_stopping import Stopper
from dlrun.training.losses import build_loss, class_weights
from dlrun.training.penalties import Penalty, build_regularizer
from dlrun.training.schedules import build_schedule, check_schedule
from dlrun.training.state import Progress
from dlrun.training.trainer import Learner, RunningMeans, Trainer, Training

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator


def check_parts(config: DictConfig, allowed: tuple[str, ...]) -> Trainer:
    """Refuse what can be seen to be wrong in the parts' settings before any data are read.

    Returns:
        The trainer, which depends on nothing else.
    """
    environment.choose_threads(config.threads, 0)
    penalty_of(config)
    trainer = build(config.trainer, "trainer", Trainer, allowed)
    model = resolve(config.model, "model", trainer.model_class, allowed)
    check_settings(model, config.model, "model", (*Spec.SUPPLIED, "random_state"))
    optimizer = resolve(config.optimizer, "optimizer", torch.optim.Optimizer, allowed)
    check_settings(optimizer, config.optimizer, "optimizer", ("params",))
    check_initializer(config.initializer)
    check_schedule(config.scheduler, allowed)
    return trainer


def load_data(config: DictConfig, allowed: tuple[str, ...], sources: dict[str, Source] | None = None) -> Data:
    """Decode, split and preprocess what `config.data` names.

    Args:
        sources: what has been decoded before, by its settings, for runs that share their data; added to.
    """
    own, settings = split_settings(config.data)
    cv = check_types({"cv": CrossValidation}, {"cv": OmegaConf.to_container(config.cv)}, "")["cv"]
    key = OmegaConf.to_yaml(own)
    sources = {} if sources is None else sources
    if key not in sources:
        sources.clear()  # one at a time: a sweep over data sets need not hold them all
        sources[key] = load(own, allowed)
    return prepare(sources[key], settings, environment.dtype_of_precision(config.precision.name), cv)


def build_model(
    config: DictConfig, trainer: Trainer, data: Data, device: torch.device, allowed: tuple[str, ...]
) -> tuple[nn.Module | BaseEstimator, list[Layer]]:
    """The network for these data, initialised, on the device, and its layers, seen by passing two rows through it; or
    the scikit-learn estimator, which has no layers."""
    if trainer.model_class is not nn.Module:
        if data.spec.vocabulary is not None:
            raise Mistake("model: scikit-learn's estimators read no tokens; use model=lstm, or data.represent=tfidf")
        return build(config.model, "model", trainer.model_class, allowed, random_state=config.seed), []
    dtype = environment.dtype_of_precision(config.precision.name)
    torch.manual_seed(config.seed)
    target = resolve(config.model, "model", nn.Module, allowed)
    if data.spec.vocabulary is not None and "vocabulary" not in inspect.signature(target).parameters:
        raise Mistake(
            f"model: {target.__name__} reads no tokens; use model=lstm, or data.represent=tfidf where there is one"
        )
    model = build(config.model, "model", nn.Module, allowed, **data.spec.supplied())
    initialize(model, config.initializer)
    if trainer.epochs and not any(parameter.requires_grad for parameter in model.parameters()):
        raise Mistake("initializer.frozen: no parameter is left to train; set trainer.epochs=0, or freeze fewer")
    model.to(device=device, dtype=dtype)
    rows = next(data.train.read([torch.zeros(2, dtype=torch.int64, device=device)]))
    return model, summarize(model, data.train.transform(rows, dtype), data.spec.outputs)


def begin_training(
    config: DictConfig, trainer: Trainer, model: nn.Module, data: Data, judged: str | None = None
) -> Training:
    """Loss, optimizer, schedule and early stopping, checked against what will be logged.

    Early stopping on valid/loss, which is the default, is off where there are no validation rows. `judged` is the
    objective of a search, which its pruning looks at after each epoch.
    """
    stopping = trainer.early_stopping
    if stopping and stopping.monitor == "valid/loss" and data.valid is None:
        stopping = None
    if trainer.batches(len(data.train)) < 1:
        raise Mistake(
            f"trainer.batch_size is {trainer.batch_size}: the {len(data.train)} training rows make no full batch, and "
            "trainer.drop_last=true leaves the rest out; lower it"
        )
    lone = trainer.batch_size == 1 or (len(data.train) % trainer.batch_size == 1 and not trainer.drop_last)
    if lone and not trainer.steps_per_epoch and any(isinstance(m, nn.BatchNorm1d) for m in network_modules(model)):
        raise Mistake(
            f"trainer.batch_size is {trainer.batch_size}: the last batch of {len(data.train)} rows would be a single "
            "one, which batch norm cannot normalise; use another size, or trainer.drop_last=true"
        )
    monitored = [("trainer.early_stopping.monitor", stopping.monitor)] if stopping else []
    if config.scheduler.get("monitor"):
        monitored.append(("scheduler.monitor", config.scheduler.monitor))
    epoch_metrics = EpochMetrics(data.spec, monitored, data.valid is not None, judged)
    allowed, loss_of = tuple(config.allow_targets), partial(build_loss, config.loss, data.spec)
    if trainer.model_class is not nn.Module:
        refuse_network_settings(config)
        learner = Learner(model, loss_of(None, allowed), None, None, None)
        return Training(learner, Progress(), None, {}, RunningMeans(epoch_metrics))
    factory = build(config.optimizer, "optimizer", torch.optim.Optimizer, allowed, params=None)
    with blame("optimizer"):
        optimizer = factory(model.parameters())
    total_steps = trainer.epochs * trainer.steps(len(data.train))
    schedule = build_schedule(config.scheduler, optimizer, total_steps, allowed)
    weights = class_weights(config.class_weight, data.spec, data.train.targets)
    loss = loss_of(weights, allowed).to(data.train.targets.device)
    learner = Learner(model, loss, optimizer, schedule, build_regularizer(penalty_of(config), model))
    return Training(learner, Progress(), Stopper(stopping) if stopping else None, {}, RunningMeans(epoch_metrics))


def refuse_network_settings(config: DictConfig) -> None:
    """Refuse what would do nothing to a scikit-learn estimator, which has settings of its own for such things.

    Raises:
        Mistake: class_weight, penalty, loss or initializer is set.
    """
    penalty = penalty_of(config)
    asked = {
        "class_weight": config.class_weight is not None,
        "penalty": bool(penalty.l1 or penalty.l2 or penalty.named or penalty.max_norm),
        "loss": config.loss.get("_target_") is not None,
        "initializer": any(value is not None for value in config.initializer.values()),
    }
    for key in asked:
        if asked[key]:
            raise Mistake(f"{key}: does nothing to model=sklearn/…; use the estimator's own settings (+model.{key}=…)")


def network_modules(model: nn.Module | BaseEstimator) -> Iterator[nn.Module]:
    """The modules of a network; none for an estimator."""
    return model.modules() if isinstance(model, nn.Module) else iter(())


def penalty_of(config: DictConfig) -> Penalty:
    """The settings under `penalty`, checked."""
    return check_types({"penalty": Penalty}, {"penalty": OmegaConf.to_container(config.penalty)}, "")["penalty"]
