"""The layers of a network: output shapes and parameters, seen by passing rows through it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from dlrun.errors import Mistake, one_line
from dlrun.tensors import Inputs


@dataclass(frozen=True)
class Layer:
    """One layer: its name in the model, class, output shape without the batch, and trainable parameters."""

    name: str
    kind: str
    output_shape: tuple[int, ...]
    parameters: int

    @property
    def work(self) -> int:
        """About how many multiply-adds a row costs: each parameter once at each position of the output."""
        recurrent = self.kind in ("RNN", "LSTM", "GRU")
        positions = self.output_shape[:1] if recurrent else self.output_shape[1:]
        return self.parameters * math.prod(positions)


def summarize(model: nn.Module, inputs: Inputs, outputs: int) -> list[Layer]:
    """Return the layers of `model` in the order in which `inputs` (two rows, ready for the network) pass them.

    Raises:
        Mistake: the model cannot read the inputs, or does not give (n, outputs) scores.
    """
    training = model.training
    try:
        with torch.inference_mode():
            layers, scores = _passed(model.eval(), inputs)
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        branches = [inputs] if isinstance(inputs, Tensor) else list(inputs.values())
        shape = " and ".join(str(tuple(branch.shape[1:])) for branch in branches)
        raise Mistake(f"model: {type(model).__name__} cannot read rows of shape {shape}: {one_line(error)}") from error
    finally:
        model.train(training)
    rows = len(inputs if isinstance(inputs, Tensor) else next(iter(inputs.values())))
    if not isinstance(scores, Tensor) or tuple(scores.shape) != (rows, outputs):
        got = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
        raise Mistake(f"model: {type(model).__name__} must give scores (n, {outputs}), and gave {got} for 2 rows")
    return layers


def largest_values(model: nn.Module, inputs: Inputs) -> int:
    """Return the most numbers that a row of `inputs` is on its way through `model`: as it comes, or after a layer."""
    layers, _ = _passed(model, inputs)
    branches = [inputs] if isinstance(inputs, Tensor) else inputs.values()
    return max([sum(branch[0].numel() for branch in branches), *(math.prod(layer.output_shape) for layer in layers)])


def _passed(model: nn.Module, inputs: Inputs) -> tuple[list[Layer], object]:
    """Return the layers in the order in which `inputs` pass them, and what `model` makes of these."""
    layers: list[Layer] = []

    def record(name: str, module: nn.Module):
        def hook(_module, _inputs, output):
            tensor = output[0] if isinstance(output, tuple) else output
            tensor = tensor.data if isinstance(tensor, PackedSequence) else tensor
            layers.append(Layer(name, type(module).__name__, tuple(tensor.shape[1:]), count_parameters(module)))

        return hook

    leaves = [(n, m) for n, m in model.named_modules() if not list(m.children())]
    hooks = [module.register_forward_hook(record(name, module)) for name, module in leaves]
    try:
        return layers, model(inputs)
    finally:
        for hook in hooks:
            hook.remove()


def count_parameters(module: nn.Module) -> int:
    """Return the number of trainable parameters."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)
