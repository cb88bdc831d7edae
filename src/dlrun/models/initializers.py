"""How weights begin: functions of torch.nn.init (and LeCun's, which it lacks), applied by kind of parameter."""

from __future__ import annotations

import fnmatch
import inspect
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, get_type_hints

import safetensors.torch
import torch
from torch import Tensor, nn

from dlrun.config.build import Component, check_types, component
from dlrun.errors import Mistake, blame, choose, did_you_mean

KINDS = ("weights", "output", "recurrent", "embeddings", "biases")


def lecun_uniform_(tensor: Tensor) -> Tensor:
    """Fill with U(−a, a), a = √(3 / fan_in) (LeCun and others 1998, Efficient BackProp)."""
    bound = math.sqrt(3 / _fan_in(tensor))
    return nn.init.uniform_(tensor, -bound, bound)


def lecun_normal_(tensor: Tensor) -> Tensor:
    """Fill with N(0, 1 / fan_in) (LeCun and others 1998, Efficient BackProp)."""
    return nn.init.normal_(tensor, 0.0, math.sqrt(1 / _fan_in(tensor)))


def variance_scaling_(tensor: Tensor, scale: float = 1.0, mode: str = "fan_in") -> Tensor:
    """Fill with a normal of variance scale / fan, cut off at two deviations (Keras's VarianceScaling).

    Args:
        scale: 2 with fan_in is Keras's he_normal, 1 with fan_avg its glorot_normal.
        mode: fan_in, fan_out, or fan_avg, the mean of both.

    Raises:
        ValueError: an unknown mode.
    """
    fan_in, fan_out = nn.init._calculate_fan_in_and_fan_out(tensor)
    fans = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}
    if mode not in fans:
        raise ValueError(f"mode '{mode}' is none of {', '.join(fans)}")
    deviation = math.sqrt(scale / fans[mode]) / 0.87962566103423978  # of a normal cut off at ±2, its deviation is .8796
    return nn.init.trunc_normal_(tensor, 0.0, deviation, -2 * deviation, 2 * deviation)


def is_initializer(target: object) -> bool:
    """a function of torch.nn.init or dlrun.models.initializers that ends in _"""
    ours = getattr(target, "__module__", None) in ("torch.nn.init", __name__)
    return ours and inspect.isfunction(target) and target.__name__.endswith("_") and target.__name__[0] != "_"


@dataclass(frozen=True)
class Initializer:
    """How the parameters of a network begin.

    Attributes:
        functions: by kind of parameter, a function of torch.nn.init with its settings. Kinds: weights (dense and
            convolutional kernels), output (those of the last linear layer; without a function of its own, as weights),
            recurrent (state-to-state kernels), embeddings, biases. One without a function keeps PyTorch's own start.
        forget_bias: added to one of the two biases of an LSTM's forget gate, as in Keras; None: not.
        named: functions by parameter name or pattern (`layers.0.weight`, `recurrent.*.weight_ih*`), whatever the kind.
        file: a safetensors file with weights by parameter name, or None.
        values: weights by parameter name, as lists.
        frozen: names or patterns of the parameters that are not trained.
    """

    functions: Mapping[str, Component] = field(default_factory=dict)
    forget_bias: float | None = None
    named: Mapping[str, Component] = field(default_factory=dict)
    file: str | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    frozen: tuple[str, ...] = ()


@dataclass
class _Settings:
    """The settings of an initializer that are no functions, for checking their types."""

    forget_bias: float | None = None
    named: dict[str, Any] | None = None
    file: str | None = None
    values: dict[str, Any] | None = None
    frozen: list[str] | None = None


def read_initializer(node: Mapping[str, Any]) -> Initializer:
    """Return what the config node `initializer` describes.

    Raises:
        Mistake: an unknown kind, a function that is no initializer, or a setting that it does not have.
    """
    own = {f.name: value for f in fields(_Settings) if (value := node.get(f.name)) is not None}
    for name in node:
        choose(name, dict.fromkeys((*KINDS, *(f.name for f in fields(_Settings)))), "initializer")
    if "named" in own and not isinstance(own["named"], Mapping):
        raise Mistake("initializer.named: functions by parameter name belong here: {output.weight: {_target_: …}}")
    hints = get_type_hints(_Settings)
    settings = _Settings(**check_types({name: hints[name] for name in own}, own, "initializer"))
    return Initializer(
        {kind: _function(node[kind], f"initializer.{kind}") for kind in KINDS if node.get(kind) is not None},
        settings.forget_bias,
        {name: _function(given, f"initializer.named.{name}") for name, given in (settings.named or {}).items()},
        settings.file,
        settings.values or {},
        tuple(settings.frozen or ()),
    )


def initialize(model: nn.Module, initializer: Initializer) -> None:
    """Set the parameters of `model` in place, in a fixed order: by kind, the forget bias, by name, from file, by value.

    Raises:
        Mistake: a function that cannot fill a parameter's shape, or a name or pattern that no parameter has.
    """
    functions = dict(initializer.functions)
    if "weights" in functions:
        functions.setdefault("output", functions["weights"])
    with torch.no_grad():
        for name, kind, parameter in parameters_by_kind(model):
            if kind in functions:
                _fill(functions[kind], f"initializer.{kind}", name, parameter)
        if initializer.forget_bias is not None:
            _set_forget_bias(model, initializer.forget_bias)
        for pattern, function in initializer.named.items():
            for name in parameters_matching(model, pattern, "initializer.named"):
                _fill(function, f"initializer.named.{pattern}", name, model.get_parameter(name))
        if initializer.file is not None:
            _set_values(model, _read_weights(initializer.file), "initializer.file")
        _set_values(model, initializer.values, "initializer.values")
    for pattern in initializer.frozen:
        for name in parameters_matching(model, pattern, "initializer.frozen"):
            model.get_parameter(name).requires_grad_(False)


def parameters_by_kind(model: nn.Module) -> Iterator[tuple[str, str, nn.Parameter]]:
    """Yield (name, kind, parameter) of every weight and bias of `model`, in the order of its modules.

    Normalisation layers are left out: their scale and shift always begin at 1 and 0.
    """
    linear = [m for m in model.modules() if isinstance(m, nn.Linear)]
    for module_name, module in model.named_modules():
        kernels = isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d)
        for name, parameter in module.named_parameters(module_name, recurse=False):
            leaf = name.rpartition(".")[2]
            if isinstance(module, nn.Embedding):
                yield name, "embeddings", parameter
            elif kernels or isinstance(module, nn.RNNBase):
                if leaf.startswith("bias"):
                    yield name, "biases", parameter
                elif leaf.startswith("weight_hh"):
                    yield name, "recurrent", parameter
                else:
                    yield name, "output" if linear and module is linear[-1] else "weights", parameter


def _function(node: object, key: str) -> Component:
    return component(node, key, is_initializer, supplied=("tensor",))


def _fill(function: Component, key: str, name: str, parameter: nn.Parameter) -> None:
    with blame(f"{key}: {name} of shape {tuple(parameter.shape)}"):
        function.target(parameter, **function.settings)


def parameters_matching(model: nn.Module, pattern: str, key: str) -> list[str]:
    """Return the names of the parameters that match `pattern`.

    Raises:
        Mistake: none does.
    """
    parameters = {name: name for name, _ in model.named_parameters()}
    head = getattr(model, "head", None)
    if isinstance(head, nn.Module):  # wherever it stands in the model, it can be called head
        by_parameter = {id(parameter): name for name, parameter in model.named_parameters()}
        parameters |= {f"head.{name}": by_parameter[id(own)] for name, own in head.named_parameters()}
    names = list(dict.fromkeys(parameters[name] for name in fnmatch.filter(parameters, pattern)))
    if not names:
        near = did_you_mean(pattern, parameters)
        raise Mistake(f"{key}.{pattern}: there is no such parameter{near} (has {', '.join(parameters)})")
    return names


def _read_weights(path: str) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file, such as a run's model.safetensors."""
    try:
        return safetensors.torch.load_file(Path(path).expanduser())
    except (OSError, safetensors.SafetensorError) as error:
        raise Mistake(f"initializer.file: {path} cannot be read as weights ({error})") from error


def _set_values(model: nn.Module, values: Mapping[str, Any], key: str) -> None:
    """Copy values by name into the parameters of `model`; those that are not named stay as they are."""
    parameters = model.state_dict()
    for name, value in values.items():
        parameter = choose(name, parameters, key)
        with blame(f"{key}.{name}"):
            tensor = torch.as_tensor(value, dtype=parameter.dtype)
        if tensor.shape != parameter.shape:
            raise Mistake(f"{key}.{name}: has shape {tuple(tensor.shape)}, and the model's is {tuple(parameter.shape)}")
        parameter.copy_(tensor)


def _set_forget_bias(model: nn.Module, value: float) -> None:
    for module in model.modules():
        if isinstance(module, nn.LSTM):
            units = module.hidden_size
            for name, parameter in module.named_parameters(recurse=False):
                if name.startswith("bias_ih"):
                    parameter[units : 2 * units].fill_(value)  # gates in PyTorch's order: input, forget, cell, output


def _fan_in(tensor: Tensor) -> int:
    if tensor.dim() < 2:
        raise ValueError("fan-in needs at least two dimensions")
    return tensor[0].numel()
