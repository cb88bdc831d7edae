"""Optimizers: one of torch.optim's classes for all parameters, or for groups of them by name or kind."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from dlrun.config.build import Component, check_settings, component, resolve
from dlrun.errors import Mistake, blame
from dlrun.models.initializers import parameters_by_kind, parameters_matching

KINDS = ("biases", "norms", "embeddings", "output", "vectors")


@dataclass(frozen=True)
class OptimizerSettings:
    """The settings of the config node `optimizer`.

    Attributes:
        optimizer: a class of torch.optim with its settings.
        groups: by pattern or kind of parameter, settings of their own; or a Component: an optimizer of their own.
            Kinds: biases, norms (scales and shifts of normalisation), embeddings, output (the last linear layer's
            weights), and vectors (all parameters that are no matrices).
    """

    optimizer: Component
    groups: Mapping[str, Component | Mapping[str, Any]] = field(default_factory=dict)


def read_optimizer(node: Mapping[str, Any], allowed: tuple[str, ...]) -> OptimizerSettings:
    """Return what the config node `optimizer` says.

    Raises:
        Mistake: no optimizer, or a setting that it, or that of a group, does not have.
    """
    own = {name: value for name, value in node.items() if name != "groups"}
    optimizer = _optimizer(own, "optimizer", allowed)
    groups = node.get("groups") or {}
    if not isinstance(groups, Mapping) or not all(isinstance(settings, Mapping) for settings in groups.values()):
        raise Mistake("optimizer.groups: settings by parameter name or pattern belong here: {head.*: {lr: 0.01}}")
    read: dict[str, Component | Mapping[str, Any]] = {}
    for pattern, settings in {str(name): own for name, own in groups.items()}.items():
        key = f"optimizer.groups.{pattern}"
        if "_target_" in settings:
            read[pattern] = _optimizer(settings, key, allowed)
        else:
            read[pattern] = check_settings(optimizer.target, settings, key, ("params",))
    return OptimizerSettings(optimizer, read)


def _optimizer(node: object, key: str, allowed: tuple[str, ...]) -> Component:
    """Return an optimizer that can move weights by their gradients alone.

    Raises:
        Mistake: no optimizer, a setting that it does not have, or one that needs more than gradients.
    """
    target = resolve(node, key, torch.optim.Optimizer, allowed)
    closure = inspect.signature(target.step).parameters.get("closure")
    if closure is not None and closure.default is closure.empty:
        raise Mistake(
            f"{key}._target_: {target.__name__} needs the loss computed anew within each step, which is not done here; "
            "solver=lbfgs does it, with all rows at once"
        )
    if issubclass(target, torch.optim.SparseAdam):
        raise Mistake(f"{key}._target_: SparseAdam needs sparse gradients, which no model here has; use optimizer=adam")
    return component(node, key, torch.optim.Optimizer, allowed, supplied=("params",))


def build_optimizers(settings: OptimizerSettings, model: nn.Module) -> list[Optimizer]:
    """Return the optimizers of the parameters of `model`; each parameter is in the first group that names it.

    Raises:
        Mistake: an optimizer refuses its settings or parameters, or a pattern matches no parameter.
    """
    optimizers = _of_groups(settings, model) if settings.groups else [_build(settings.optimizer, model.parameters())]
    for optimizer in optimizers:
        _rehearse(optimizer)
    return optimizers


def _build(chosen: Component, params: Iterable[nn.Parameter]) -> Optimizer:
    return chosen.build(params=list(params))


def _of_groups(settings: OptimizerSettings, model: nn.Module) -> list[Optimizer]:
    left = dict(model.named_parameters())
    own_groups: list[dict[str, Any]] = []
    others: list[Optimizer] = []
    for pattern, own in settings.groups.items():
        chosen = [left.pop(name) for name in names_in_group(model, pattern) if name in left]
        if not chosen:
            raise Mistake(f"optimizer.groups.{pattern}: the groups before it have all of its parameters; leave it out")
        if isinstance(own, Component):
            others.append(_build(own, chosen))
        else:
            own_groups.append({"params": chosen, **own})
    if left:
        own_groups.insert(0, {"params": list(left.values())})
    with blame("optimizer"):
        return ([settings.optimizer.build(params=own_groups)] if own_groups else []) + others


def _rehearse(optimizer: Optimizer) -> None:
    """Let an optimizer of PyTorch's move small weights of its own once: some check their settings only then.

    It is built anew with the settings of each group, which are otherwise not checked at all.
    """
    kind: Any = type(optimizer)
    if not kind.__module__.startswith("torch."):
        return
    names = inspect.signature(kind).parameters
    for group in optimizer.param_groups:
        first = group["params"][0]
        weights = nn.Parameter(torch.zeros(2, 2, dtype=first.dtype, device=first.device))
        weights.grad = torch.ones_like(weights)
        with blame("optimizer"):
            kind([weights], **{name: group[name] for name in names if name != "params" and name in group}).step()


def names_in_group(model: nn.Module, pattern: str) -> list[str]:
    """Return the names of the parameters that a group is of.

    Raises:
        Mistake: there are none.
    """
    if pattern not in KINDS:
        return parameters_matching(model, pattern, "optimizer.groups")
    names = list(dict.fromkeys(_of_kind(model, pattern)))
    if not names:
        raise Mistake(f"optimizer.groups.{pattern}: the model has no such parameters; leave it out")
    return names


def _of_kind(model: nn.Module, kind: str) -> Iterator[str]:
    if kind == "vectors":
        yield from (name for name, parameter in model.named_parameters() if parameter.dim() != 2)
    elif kind == "norms":
        normalised = {name for name, _, _ in parameters_by_kind(model)}
        yield from (name for name, _ in model.named_parameters() if name not in normalised)
    else:
        yield from (name for name, own, _ in parameters_by_kind(model) if own == kind)
