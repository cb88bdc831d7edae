"""How weights begin: functions of torch.nn.init (and LeCun's, which it lacks), applied by kind of parameter."""

from __future__ import annotations

import fnmatch
import inspect
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import safetensors.torch
import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from dlrun.config.build import check_settings, resolve
from dlrun.errors import Mistake, blame, choose, did_you_mean

KINDS = ("weights", "output", "recurrent", "embeddings", "biases")


def lecun_uniform_(tensor: Tensor) -> Tensor:
    """U(−a, a) with a = √(3 / fan_in) (LeCun and others 1998, Efficient BackProp)."""
    bound = math.sqrt(3 / _fan_in(tensor))
    return nn.init.uniform_(tensor, -bound, bound)


def lecun_normal_(tensor: Tensor) -> Tensor:
    """N(0, 1 / fan_in) (LeCun and others 1998, Efficient BackProp)."""
    return nn.init.normal_(tensor, 0.0, math.sqrt(1 / _fan_in(tensor)))


def variance_scaling_(tensor: Tensor, scale: float = 1.0, mode: str = "fan_in") -> Tensor:
    """A normal distribution of variance scale / fan, cut off at two deviations (Keras's VarianceScaling).

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


def initialize(model: nn.Module, config: DictConfig) -> None:
    """Set the parameters of `model` in place, in a fixed order, by the functions that `config` names for each kind.

    Kinds: weights (dense and convolutional kernels), output (those of the last linear layer), recurrent (state-to-state
    kernels), embeddings, biases. A kind without a function keeps PyTorch's own start. `forget_bias` is then added to
    one of the two biases of an LSTM's forget gate, as in Keras. Parameters whose names match a pattern of `named`
    (`layers.0.weight`, `recurrent.*.weight_ih*`) are then filled by the function given there, whatever their kind. Last
    come explicit weights by parameter name: those of the safetensors file `file`, and the lists of `values`. Parameters
    that match a pattern of `frozen` are not trained.

    Raises:
        Mistake: an unknown kind, a function that is no initializer, or one that cannot fill a parameter's shape.
    """
    functions = check_initializer(config)
    functions["output"] = functions["output"] or functions["weights"]
    with torch.no_grad():
        for name, kind, parameter in parameters_by_kind(model):
            if functions[kind] is not None:
                with blame(f"initializer.{kind}: {name} of shape {tuple(parameter.shape)}"):
                    functions[kind](parameter)
        if config.get("forget_bias") is not None:
            _set_forget_bias(model, float(config.forget_bias))
        for pattern in config.get("named") or {}:
            _fill_named(model, pattern, _function(config.named, pattern, f"initializer.named.{pattern}"))
        if config.get("file") is not None:
            _set_values(model, _read_weights(config.file), "initializer.file")
        if config.get("values") is not None:
            _set_values(model, OmegaConf.to_container(config["values"]), "initializer.values")
    for pattern in config.get("frozen") or []:
        for name in parameters_matching(model, pattern, "initializer.frozen"):
            model.get_parameter(name).requires_grad_(False)


def check_initializer(config: DictConfig) -> dict[str, Callable[[Tensor], Tensor] | None]:
    """The function of each kind, or None.

    Raises:
        Mistake: an unknown kind, a function that is no initializer, or a setting that it does not have.
    """
    for name in config:
        choose(name, dict.fromkeys((*KINDS, "forget_bias", "named", "values", "file", "frozen")), "initializer")
    named = config.get("named")
    if named is not None and not isinstance(named, DictConfig):
        raise Mistake("initializer.named: functions by parameter name belong here: {output.weight: {_target_: …}}")
    for pattern in named or {}:
        _function(named, pattern, f"initializer.named.{pattern}")
    return {kind: _function(config, kind, f"initializer.{kind}") for kind in KINDS}


def parameters_by_kind(model: nn.Module) -> Iterator[tuple[str, str, nn.Parameter]]:
    """(name, kind, parameter) of every weight and bias of `model`, in the order of its modules.

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


def _function(config: DictConfig, name: str, key: str):
    node = config.get(name)
    if node is None:
        return None
    function = resolve(node, key, is_initializer)
    settings = check_settings(function, node, key, supplied=("tensor",))
    return lambda parameter: function(parameter, **settings)


def _fill_named(model: nn.Module, pattern: str, function: Callable[[Tensor], Tensor]) -> None:
    """Fill the parameters whose names match `pattern`."""
    for name in parameters_matching(model, pattern, "initializer.named"):
        parameter = model.get_parameter(name)
        with blame(f"initializer.named.{pattern}: {name} of shape {tuple(parameter.shape)}"):
            function(parameter)


def parameters_matching(model: nn.Module, pattern: str, key: str) -> list[str]:
    """The names of the parameters that match `pattern`.

    Raises:
        Mistake: none does.
    """
    parameters = dict(model.named_parameters())
    names = fnmatch.filter(parameters, pattern)
    if not names:
        near = did_you_mean(pattern, parameters)
        raise Mistake(f"{key}.{pattern}: there is no such parameter{near} (has {', '.join(parameters)})")
    return names


def _read_weights(path: str) -> dict[str, Tensor]:
    """The tensors of a safetensors file, such as a run's model.safetensors."""
    try:
        return safetensors.torch.load_file(Path(path).expanduser())
    except (OSError, safetensors.SafetensorError) as error:
        raise Mistake(f"initializer.file: {path} cannot be read as weights ({error})") from error


def _set_values(model: nn.Module, values: dict, key: str) -> None:
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
