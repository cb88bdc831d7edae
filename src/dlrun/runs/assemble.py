"""The first act: from a recipe to data, learner and the training that is to begin."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from dlrun.config.build import Component
from dlrun.data.prepare import load, prepare
from dlrun.data.source import Source
from dlrun.data.split import Data
from dlrun.errors import Mistake, did_you_mean
from dlrun.models.arguments import arguments
from dlrun.models.initializers import initialize
from dlrun.models.summary import Layer, summarize
from dlrun.runs.recipe import Recipe
from dlrun.runtime import Runtime, choose_threads
from dlrun.tasks.auxiliary import with_auxiliary
from dlrun.tasks.base import Task
from dlrun.tasks.chosen_metrics import try_out
from dlrun.tasks.metric import higher_is_better
from dlrun.tasks.several import Several, weighted
from dlrun.training.build_loss import build_loss
from dlrun.training.contracts import Fitter, Training, logged_names
from dlrun.training.early_stopping import EarlyStopping, Stopper
from dlrun.training.estimator import Estimator
from dlrun.training.network import Network
from dlrun.training.optimizers import build_optimizers
from dlrun.training.penalties import build_regularizer
from dlrun.training.schedules import build_schedule


@dataclass
class Assembled:
    """A run that is ready to be fitted.

    Attributes:
        recipe: what it was made of.
        runtime: where it computes; entered.
        data: on the runtime's device.
        training: the learner and where its training stands: at the beginning.
        fitter: how it is trained, settled for the rows that there are.
        layers: of the network, in the order in which rows pass them; empty for an estimator.
    """

    recipe: Recipe
    runtime: Runtime
    data: Data
    training: Training
    fitter: Fitter
    layers: list[Layer]


def assemble(
    recipe: Recipe, runtime: Runtime, sources: dict[str, Source] | None = None, objective: str | None = None
) -> Assembled:
    """Load the data, and build the model and all that trains it.

    Args:
        recipe: what is to be run.
        runtime: entered already.
        sources: what has been decoded before, by its settings, for runs that share their data; added to.
        objective: the figure that the pruning of a search looks at after each epoch.

    Raises:
        Mistake: anything in the recipe or the data that cannot be.
    """
    with memory_explained("while loading the data", "take fewer rows, columns or words of them"):
        data = load_data(recipe, sources).to(runtime.device)
    fitter = recipe.fitter.for_rows(len(data.train))
    with memory_explained("while building the model", "take a smaller one (model.…)"):
        if recipe.fitter.trains_networks:
            training, layers = _network(recipe, fitter, data, runtime, objective)
        else:
            training, layers = _estimator(recipe, data), []
    batch_size = getattr(fitter, "batch_size", len(data.train))
    work = sum(layer.work for layer in layers) * batch_size
    runtime.use_threads(choose_threads(recipe.compute.threads, work))
    fitter.check(training, data)
    return Assembled(recipe, runtime, data, training, fitter, layers)


def load_data(recipe: Recipe, sources: dict[str, Source] | None = None) -> Data:
    """Decode, split and preprocess the data of a recipe.

    Args:
        sources: what has been decoded before, by its settings, for runs that share their data; added to.
    """
    sources = {} if sources is None else sources
    key = recipe.data.identity
    if key not in sources:
        sources.clear()  # one at a time: a sweep over data sets need not hold them all
        sources[key] = load(recipe.data)
    dtype = torch.float64 if recipe.compute.precision.name == "fp64" else torch.float32
    data = prepare(sources[key], recipe.data_settings, dtype, recipe.cv)
    data.task = _weighed(data.task, recipe.loss_weights).with_metrics(recipe.metrics)
    if auxiliary := recipe.model.settings.get("auxiliary"):
        data.task = with_auxiliary(data.task, auxiliary.weight)
    try_out(recipe.metrics, data.task, data.train.targets)
    return data


def _weighed(task: Task, weights: Mapping[str, Any]) -> Task:
    """Return the task with the weights of its targets' losses.

    Raises:
        Mistake: there are weights, and one task.
    """
    if isinstance(task, Several):
        return weighted(task, weights)
    if weights:
        raise Mistake(
            "loss.weights: weighs targets with a task each: 'data.target={infected: binary, score: regression}'"
        )
    return task


def _network(
    recipe: Recipe, fitter: Fitter, data: Data, runtime: Runtime, objective: str | None
) -> tuple[Training, list[Layer]]:  # fmt: skip
    """Return the training of a network, initialised and on the device, and its layers, seen by passing two rows."""
    torch.manual_seed(recipe.seed)
    _refuse_other_inputs(recipe.model, data)
    model = recipe.model.build(**arguments(data.specs, data.task))
    initialize(model, recipe.initializer)
    if fitter.epochs and not any(parameter.requires_grad for parameter in model.parameters()):
        raise Mistake("initializer.frozen: no parameter is left to train; set trainer.epochs=0, or freeze fewer")
    model.to(device=runtime.device, dtype=runtime.dtype)
    rows = next(data.train.read([torch.zeros(2, dtype=torch.int64, device=runtime.device)]))
    inputs = data.train.transform(rows, runtime.dtype)
    layers = summarize(model, inputs, data.task.width)
    stopping = _early_stopping(fitter, data)
    watched = _watched(recipe, data, stopping)
    unlogged = _unlogged(data.task, objective, watched)
    optimizers = build_optimizers(recipe.optimizer, model)
    total_steps = fitter.epochs * fitter.steps(len(data.train))
    schedule = recipe.schedule
    maximizes = schedule is not None and schedule.monitor is not None and _more_is_better(data.task, schedule.monitor)
    weights = data.task.class_weights(recipe.class_weight, data.train.targets)
    learner = Network(
        model,
        build_loss(recipe.loss, data.task, weights).to(runtime.device, runtime.dtype),
        runtime,
        optimizers,
        build_schedule(schedule, optimizers, total_steps, fitter.epochs, maximizes),
        build_regularizer(recipe.penalty, model),
        getattr(fitter, "grad_clip", None),
        getattr(fitter, "stateful", False),
        getattr(fitter, "batch_size", 32),
    )
    stopper = None
    if stopping is not None:
        stopper = Stopper(stopping, stopping.maximizes(_more_is_better(data.task, stopping.monitor)))
    watched += (unlogged.partition("/")[2],) if unlogged else ()
    running = data.task.running()
    return Training(learner, running, stopper=stopper, watched=watched, unlogged=unlogged), layers


def _refuse_other_inputs(model: Component, data: Data) -> None:
    """Refuse a model that does not read what the data have.

    Raises:
        Mistake: several branches, or tokens, for a model that does not ask for them.
    """
    name, several = model.target.__name__, ", ".join(data.specs)
    if model.takes("branches"):
        return
    if len(data.specs) > 1:
        raise Mistake(f"model: the inputs have several branches ({several}), and {name} reads one; use model=branches")
    if data.inputs.vocabulary is not None and not model.takes("vocabulary"):
        raise Mistake(f"model: {name} reads no tokens; use model=lstm, or data.represent=tfidf where there is one")


def _estimator(recipe: Recipe, data: Data) -> Training:
    """Return the training of an estimator of scikit-learn."""
    if len(data.specs) > 1:
        raise Mistake(f"model: scikit-learn's estimators read one branch, and there are {', '.join(data.specs)}")
    if isinstance(data.task, Several):
        raise Mistake("model: scikit-learn's estimators learn one task; use a network, or one target")
    if data.inputs.vocabulary is not None:
        raise Mistake("model: scikit-learn's estimators read no tokens; use model=lstm, or data.represent=tfidf")
    model = recipe.model.build(random_state=recipe.seed)
    return Training(Estimator(model, data.task, build_loss(None, data.task, None)), data.task.running())


def _early_stopping(fitter: Fitter, data: Data) -> EarlyStopping | None:
    """Return when to stop; valid/loss, which is the default, is not monitored where there are no validation rows."""
    stopping: EarlyStopping | None = getattr(fitter, "early_stopping", None)
    if stopping and stopping.monitor == "valid/loss" and data.valid is None:
        return None
    return stopping


def _watched(recipe: Recipe, data: Data, stopping: EarlyStopping | None) -> tuple[str, ...]:
    """Return the metrics to compute after every epoch: those that are monitored, and those that were chosen.

    Raises:
        Mistake: something is monitored that nothing logs.
    """
    task = data.task
    logged = logged_names(task.quick_figures, task.metrics, data.valid is not None)
    monitored = [("trainer.early_stopping.monitor", stopping.monitor)] if stopping else []
    if recipe.schedule and recipe.schedule.monitor:
        monitored.append(("scheduler.monitor", recipe.schedule.monitor))
    for key, value in monitored:
        if value not in logged:
            raise Mistake(f"{key}: '{value}' is not logged{did_you_mean(value, logged)} ({', '.join(logged)})")
    names = {value.partition("/")[2] for _, value in monitored if value.startswith("valid/")}
    names |= {metric.name for metric in task.chosen_metrics}
    return tuple(sorted(names - {"loss", *task.quick_figures}))


def _unlogged(task: Task, objective: str | None, watched: tuple[str, ...]) -> str | None:
    """Return the objective of a search, where it is a metric of validation rows that is not logged anyway."""
    split, _, metric = (objective or "").partition("/")
    known = split == "valid" and metric in task.metrics
    return objective if known and metric not in (*watched, "loss", *task.quick_figures) else None


def _more_is_better(task: Task, logged: str) -> bool:
    """Return whether more of a logged value is better."""
    name = logged.partition("/")[2]
    return task.metrics[name].higher_is_better if name in task.metrics else higher_is_better(name.rpartition("/")[2])


@contextmanager
def memory_explained(what: str, remedy: str) -> Iterator[None]:
    """Turn running out of memory, on the CPU or on CUDA, into one line: for what, and what to lower."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError | torch.OutOfMemoryError) and "can't allocate memory" not in str(error):
            raise
        raise Mistake(f"out of memory {what}; {remedy}") from error
