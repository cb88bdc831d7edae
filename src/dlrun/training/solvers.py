"""Fitters for the linear models where gradient descent would never arrive: least squares in one go, and L-BFGS."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from dlrun.data.split import Data
from dlrun.errors import Mistake
from dlrun.models.linear import Linear
from dlrun.runtime import Runtime
from dlrun.training.contracts import Progress, Training, Watch, validation_figures
from dlrun.training.network import Network
from dlrun.training.penalties import Penalty, Regularizer

Solve = Callable[[Network, Tensor, Tensor], None]


def solved(solve: Solve, training: Training, data: Data, watch: Watch) -> Progress:
    """Set the weights by all rows at once, as one epoch that is logged like any other.

    Args:
        solve: sets the weights of a network by inputs (n, *shape) and targets.
    """
    progress, learner = training.progress, training.learner
    started = time.perf_counter()
    inputs = cast(Tensor, data.train.transform(data.train.stored(), learner.runtime.dtype))  # a linear model reads one
    solve(learner, inputs, data.train.targets)
    progress.epochs = progress.best_epoch = progress.epoch = 1
    scores = learner.scores({"train": data.train})["train"]
    training.running.add(learner.loss(scores, data.train.targets), scores, data.train.targets)
    logged = {"epoch": 1, "lr": 0.0}
    logged |= {f"train/{name}": value for name, value in training.running.figures().items()}
    if data.valid is not None:
        logged |= validation_figures(training, data, learner.validation_scores(data.valid))
    progress.seconds = time.perf_counter() - started
    progress.status = "finished"
    watch.on_epoch(training, logged)
    return progress


@dataclass
class ClosedForm:
    """Least squares: the weights that minimise MSE + penalty.l2·Σw² (minimum norm where several do); the bias is free.

    With a penalty this is Ridge(alpha = rows · penalty.l2) of scikit-learn.
    """

    trains_networks: ClassVar[bool] = True
    epochs: ClassVar[int] = 1
    max_minutes: ClassVar[None] = None
    checkpoint_every: ClassVar[None] = None
    keep_checkpoints: ClassVar[bool] = False

    def for_rows(self, rows: int) -> ClosedForm:
        """Return the same."""
        return self

    def steps(self, rows: int) -> int:
        """Return 1: all rows are one step."""
        return 1

    def check(self, training: Training, data: Data) -> None:
        """Refuse what has no closed form.

        Raises:
            Mistake: the model is not linear, the loss not MSE, or a penalty other than l2.
        """
        learner = training.learner
        if not isinstance(learner.model, Linear) or not isinstance(learner.loss, nn.MSELoss):
            raise Mistake("solver=closed_form: needs model=linear, a quantity and the squared loss")
        if not all(parameter.requires_grad for parameter in learner.model.parameters()):
            raise Mistake("solver=closed_form: sets all weights at once; leave initializer.frozen null")
        penalty = learner.regularizer.penalty if learner.regularizer else None
        if penalty and (penalty.l1 or penalty.named or penalty.max_norm is not None):
            raise Mistake("solver=closed_form: goes with penalty.l2 only; for l1, model=sklearn/lasso")

    def fit(self, training: Training, data: Data, runtime: Runtime, watch: Watch) -> Progress:
        """Set the weights of the linear model in place."""
        return solved(least_squares, training, data, watch)


def least_squares(learner: Network, inputs: Tensor, targets: Tensor) -> None:
    """Set the weights of a linear model by singular values, on centred columns."""
    penalty = learner.regularizer.penalty if learner.regularizer else None
    layer, x, y = learner.model.head, inputs.flatten(1), targets.to(inputs.dtype)
    free = layer.bias is not None
    x_mean, y_mean = (x.mean(dim=0), y.mean(dim=0)) if free else (x.new_zeros(x.shape[1]), y.new_zeros(y.shape[1]))
    x, y = x - x_mean, y - y_mean
    if penalty:
        strength = ((penalty.l2 or 0.0) * len(x)) ** 0.5
        x = torch.cat([x, strength * torch.eye(x.shape[1], dtype=x.dtype, device=x.device)])
        y = torch.cat([y, y.new_zeros(x.shape[1], y.shape[1])])
    with torch.no_grad():
        layer.weight.copy_(torch.linalg.lstsq(x.cpu(), y.cpu(), driver="gelsd").solution.T)
        if free:
            layer.bias.copy_(y_mean - layer.weight @ x_mean)


@dataclass
class Converged:
    """A linear model trained to the minimum of its loss, whatever the task.

    A quantity: by least squares. Classes: by L-BFGS; without a penalty of its own, with the L2 penalty that
    scikit-learn's LogisticRegression has by default, C = 1, which is Σw² / (2 · rows): without any, the weights of
    classes that a plane divides would grow without end.

    Args:
        max_iterations: of L-BFGS.
        tolerance: the largest gradient that counts as vanished.
    """

    trains_networks: ClassVar[bool] = True
    epochs: ClassVar[int] = 1
    max_minutes: ClassVar[None] = None
    checkpoint_every: ClassVar[None] = None
    keep_checkpoints: ClassVar[bool] = False

    max_iterations: int = 5000
    tolerance: float = 1e-6

    def for_rows(self, rows: int) -> Converged:
        """Return the same."""
        return self

    def steps(self, rows: int) -> int:
        """Return 1: all rows are one step."""
        return 1

    def check(self, training: Training, data: Data) -> None:
        """Refuse a penalty other than l2, and give classes the default one.

        Raises:
            Mistake: a penalty that has no gradient everywhere.
        """
        learner = training.learner
        if learner.regularizer is None and data.task.has_classes:
            learner.regularizer = Regularizer(Penalty(l2=1 / (2 * len(data.train))), learner.model)
        self._fitter(learner).check(training, data)

    def fit(self, training: Training, data: Data, runtime: Runtime, watch: Watch) -> Progress:
        """Set the weights of the linear model in place."""
        return self._fitter(training.learner).fit(training, data, runtime, watch)

    def _fitter(self, learner: Network) -> ClosedForm | LBFGS:
        free = all(parameter.requires_grad for parameter in learner.model.parameters())
        if isinstance(learner.model, Linear) and isinstance(learner.loss, nn.MSELoss) and free:
            return ClosedForm()
        return LBFGS(self.max_iterations, self.tolerance)


@dataclass
class LBFGS:
    """All rows at once by L-BFGS with strong Wolfe conditions (PyTorch's), until the gradient vanishes.

    Args:
        max_iterations: at most so many iterations.
        tolerance: the largest gradient that counts as vanished.
    """

    trains_networks: ClassVar[bool] = True
    epochs: ClassVar[int] = 1
    max_minutes: ClassVar[None] = None
    checkpoint_every: ClassVar[None] = None
    keep_checkpoints: ClassVar[bool] = False

    max_iterations: int = 5000
    tolerance: float = 1e-9

    def for_rows(self, rows: int) -> LBFGS:
        """Return the same."""
        return self

    def steps(self, rows: int) -> int:
        """Return 1: all rows are one step."""
        return 1

    def check(self, training: Training, data: Data) -> None:
        """Refuse what has no gradient.

        Raises:
            Mistake: a penalty other than l2.
        """
        regularizer = training.learner.regularizer
        if regularizer and (any(l1 for _, l1, _ in regularizer.terms) or regularizer.penalty.max_norm is not None):
            raise Mistake("solver=lbfgs: goes with penalty.l2 only, which has a gradient everywhere")

    def fit(self, training: Training, data: Data, runtime: Runtime, watch: Watch) -> Progress:
        """Minimise the loss with its penalty, in place."""
        return solved(self._minimise, training, data, watch)

    def _minimise(self, learner: Network, inputs: Tensor, targets: Tensor) -> None:
        regularizer = learner.regularizer
        optimizer = torch.optim.LBFGS(
            learner.model.parameters(), max_iter=self.max_iterations, max_eval=4 * self.max_iterations,
            tolerance_grad=self.tolerance, tolerance_change=0.0, history_size=50, line_search_fn="strong_wolfe",
        )  # fmt: skip

        def cost() -> Tensor:
            optimizer.zero_grad()
            loss = learner.loss(learner.model(inputs), targets)
            loss = loss + regularizer.term() if regularizer else loss
            loss.backward()
            return loss

        learner.model.train()
        optimizer.step(cost)
