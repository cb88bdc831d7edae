"""Penalties on the weights: L1, L2, max-norm, and the proximal step that makes an L1 penalty give true zeros."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from dlrun.errors import Mistake, choose, did_you_mean
from dlrun.models.initializers import parameters_by_kind, parameters_matching


@dataclass
class Penalty:
    """What is added to the training loss, or done to the weights after a step. Of biases, only those `named`.

    Args:
        l1: λ of λ·Σ|w|.
        l2: λ of λ·Σw² (Keras's l2; not half of it). None: 0, but with solver=converged that of
            scikit-learn's LogisticRegression.
        proximal: apply l1 not as a gradient but as a soft threshold of lr·l1 after each step, so that weights become
            exactly 0 (ISTA, Beck and Teboulle 2009).
        max_norm: the largest norm of the weights that lead into one neuron or filter; None: no limit.
        named: penalties of their own by parameter name or pattern, biases too: {layers.1.bias: {l2: 0.01}}.
        layers: `all`, `hidden` (all but the last linear layer), `output`, or names of parameters as the model's
            summary shows their layers.

    Raises:
        Mistake: a number out of its range.
    """

    l1: float = 0.0
    l2: float | None = None
    proximal: bool = False
    max_norm: float | None = None
    layers: list[str] = field(default_factory=lambda: ["all"])
    named: dict[str, dict[str, Any]] | None = None

    def __post_init__(self) -> None:
        for name in ("l1", "l2"):
            if not 0 <= (getattr(self, name) or 0.0) < math.inf:
                raise Mistake(f"penalty.{name} is {getattr(self, name)}: it must be a finite number, at least 0")
        for pattern, own in (self.named or {}).items():
            for name, value in own.items():
                choose(name, dict.fromkeys(("l1", "l2")), f"penalty.named.{pattern}")
                if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
                    raise Mistake(f"penalty.named.{pattern}.{name} is {value}: it must be a finite number, at least 0")
        if self.max_norm is not None and not self.max_norm > 0:
            raise Mistake(f"penalty.max_norm is {self.max_norm}: it must be above 0, or null")
        if self.proximal and not self.l1:
            raise Mistake("penalty.proximal: needs penalty.l1 above 0")

    def weights(self, model: nn.Module) -> list[nn.Parameter]:
        """Return the weights of `model` that are penalised.

        Raises:
            Mistake: a layer that the model does not have.
        """
        trained = ((name, kind, p) for name, kind, p in parameters_by_kind(model) if p.requires_grad)
        weights = [(name, kind, p) for name, kind, p in trained if kind not in ("biases", "embeddings")]
        groups = {"all": [p for *_, p in weights], "output": [p for _, kind, p in weights if kind == "output"]}
        groups["hidden"] = [p for _, kind, p in weights if kind != "output"]
        groups |= {name.rpartition(".")[0]: [p] for name, _, p in weights}
        for layer in self.layers:
            if layer not in groups:
                raise Mistake(f"penalty.layers: the model has no layer '{layer}'{did_you_mean(layer, groups)}")
        return list({id(p): p for layer in self.layers for p in groups[layer]}.values())

    def terms(self, model: nn.Module) -> list[tuple[nn.Parameter, float, float]]:
        """Return (parameter, l1, l2) of each penalty that is added to the loss.

        Raises:
            Mistake: a layer or parameter that the model does not have.
        """
        l1 = 0.0 if self.proximal else self.l1
        terms = [(w, l1, self.l2 or 0.0) for w in self.weights(model)] if l1 or self.l2 else []
        for pattern, own in (self.named or {}).items():
            for name in parameters_matching(model, pattern, "penalty.named"):
                terms.append((model.get_parameter(name), own.get("l1", 0.0), own.get("l2", 0.0)))
        return terms


class Regularizer:
    """A Penalty at work on the weights of one model."""

    def __init__(self, penalty: Penalty, model: nn.Module):
        self.penalty = penalty
        self.weights = penalty.weights(model)
        self.terms = penalty.terms(model)

    def term(self) -> Tensor | float:
        """Return what is added to the loss of a batch."""
        total: Tensor | float = 0.0
        for weight, l1, l2 in self.terms:
            total = total + l1 * weight.abs().sum() if l1 else total
            total = total + l2 * weight.square().sum() if l2 else total
        return total

    @torch.no_grad()
    def after_step(self, optimizers: Sequence[Optimizer]) -> None:
        """Pull the weights where a gradient cannot: to exactly 0, by the learning rate of each, or to max_norm."""
        if self.penalty.proximal:
            lr = {id(w): group["lr"] for own in optimizers for group in own.param_groups for w in group["params"]}
            for w in self.weights:
                w.copy_(w.sign() * (w.abs() - lr[id(w)] * self.penalty.l1).clamp(min=0))
        if self.penalty.max_norm is not None:
            for w in self.weights:
                norms = w.flatten(1).norm(dim=1).view(-1, *[1] * (w.dim() - 1))
                w.mul_((self.penalty.max_norm / norms.clamp(min=1e-12)).clamp(max=1))


def build_regularizer(penalty: Penalty, model: nn.Module) -> Regularizer | None:
    """Return the penalty at work on `model`, or None where there is nothing to do."""
    if penalty.l1 or penalty.l2 is not None or penalty.named or penalty.max_norm is not None:
        return Regularizer(penalty, model)
    return None
