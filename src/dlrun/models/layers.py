"""Pieces that several families are built of: activations, dense blocks, and settings given once or per layer."""

from __future__ import annotations

from torch import nn

from dlrun.errors import Mistake, choose, did_you_mean

ACTIVATIONS = {
    "relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid, "selu": nn.SELU, "elu": nn.ELU,
    "leaky_relu": nn.LeakyReLU, "gelu": nn.GELU, "softplus": nn.Softplus, "linear": nn.Identity,
}  # fmt: skip


def activation_layer(name: str) -> nn.Module:
    """Return the activation called `name`.

    Raises:
        Mistake: there is none of that name.
    """
    return choose(name, ACTIVATIONS, "model.activation")()


def check_widths(widths: list[int], key: str) -> list[int]:
    """Return `widths`, all at least 1.

    Raises:
        Mistake: one is not.
    """
    for width in widths:
        if width < 1:
            raise Mistake(f"model.{key}: {width} is too small; each layer needs at least 1")
    return widths


def check_dropout(share: float, key: str = "dropout") -> float:
    """Return `share`, from 0 up to but not including 1.

    Raises:
        Mistake: it lies outside.
    """
    if not 0 <= share < 1:
        raise Mistake(f"model.{key} is {share}: it must be at least 0 and less than 1")
    return share


def batch_norm_layer(settings: bool | dict, width: int, dimensions: int = 0) -> nn.Module:
    """Return batch normalisation of `width` features, or of so many channels of a series (1) or image (2).

    Args:
        settings: true, or PyTorch's settings (Keras's are {momentum: 0.01, eps: 0.001}).

    Raises:
        Mistake: neither, or a setting that it does not have.
    """
    if not isinstance(settings, bool | dict):
        raise Mistake(f"model.batch_norm: '{settings}' is neither true, false nor {{momentum: 0.01, eps: 0.001}}")
    own = dict(settings) if isinstance(settings, dict) else {}
    for name in own:
        choose(name, dict.fromkeys(("momentum", "eps")), "model.batch_norm")
    return (nn.BatchNorm2d if dimensions == 2 else nn.BatchNorm1d)(width, **own)


def check_block(block: list[str], pieces: tuple[str, ...], wanted: list[str]) -> list[str]:
    """Return `block`, each of its names among `pieces` and none twice.

    Raises:
        Mistake: an unknown piece, one that stands twice, the first of `pieces` left out, or one of those `wanted`.
    """
    for name in block:
        choose(name, dict.fromkeys(pieces), "model.block")
    if len(set(block)) < len(block) or pieces[0] not in block:
        raise Mistake(f"model.block: {block} must hold {pieces[0]} and each piece once at most")
    for name in wanted:
        if name not in block:
            raise Mistake(f"model.block: {block} has no place for {name}, which is switched on")
    return block


def dense_blocks(
    width: int,
    hidden: list[int],
    activation: str | list[str],
    dropout: float,
    batch_norm: bool | dict,
    bias: bool,
    block: list[str],
) -> tuple[list[nn.Module], int]:
    """Build dense hidden layers, the pieces of each in the order of `block`.

    Args:
        width: inputs of the first layer.
        hidden: neurons of each layer.

    Returns:
        The layers and the width of the last one.
    """
    layers: list[nn.Module] = []
    names = per_layer(activation, len(hidden), "activation", least=None, words=tuple(ACTIVATIONS))
    for neurons, name in zip(check_widths(hidden, "hidden"), names, strict=True):
        pieces = {"dense": nn.Linear(width, neurons, bias=bias), "activation": activation_layer(name)}
        norm_width = neurons if block.index("dense") < _position(block, "batch_norm") else width
        if batch_norm:
            pieces["batch_norm"] = batch_norm_layer(batch_norm, norm_width)
        if check_dropout(dropout):
            pieces["dropout"] = nn.Dropout(dropout)
        layers += [pieces[name] for name in block if name in pieces]
        width = neurons
    return layers, width


def _position(block: list[str], name: str) -> int:
    return block.index(name) if name in block else len(block)


def per_layer(value: int | str | list, n: int, key: str, least: int | None = 0, words: tuple[str, ...] = ()) -> list:
    """Return `value` for each of `n` layers: itself if it is a list of n, else repeated.

    Raises:
        Mistake: a list of another length, or a value that is neither a whole number from `least` on (None:
            no number at all) nor in `words`.
    """
    values = value if isinstance(value, list) else [value] * n
    for one in values:
        if one not in words and (least is None or isinstance(one, bool) or not isinstance(one, int) or one < least):
            numbers = () if least is None else (f"a whole number from {least} on",)
            allowed = " or ".join((*numbers, *words))
            raise Mistake(f"model.{key}: '{one}' is not {allowed}{did_you_mean(one, words)}")
    if len(values) != n:
        raise Mistake(f"model.{key}: {len(values)} values for {n} layers; give one value, or one per layer")
    return values
