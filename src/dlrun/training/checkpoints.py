"""checkpoints/last.pt: all that a resume needs, as tensors and plain numbers, so that loading it can run no code."""

from __future__ import annotations

import io
from typing import Any

import torch

from dlrun.errors import Mistake
from dlrun.training.contracts import Progress, Training


def to_bytes(training: Training, device: torch.device) -> bytes:
    """Return the whole state of `training`, and of PyTorch's random generators of the CPU and of `device`."""
    state = {
        "progress": vars(training.progress).copy(),
        "learner": training.learner.state(),
        "running": training.running.state(),
        "stopper": training.stopper.state() if training.stopper else None,
        "best": training.best,
        "random": _generators(device),
    }
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def restore(training: Training, content: bytes, device: torch.device) -> None:
    """Put `training` and PyTorch's generators into the state that `content`, from `to_bytes`, holds.

    Raises:
        Mistake: the checkpoint is cut short or broken, or belongs to another model.
    """
    try:
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises half a dozen types for a broken file; all mean the same to a person
        kind = type(error).__name__
        raise Mistake(f"checkpoints/last.pt: cannot be read ({kind}); it is cut short or broken") from error
    try:
        learner = {name: own if name == "optimizers" else _moved(own, device) for name, own in state["learner"].items()}
        training.learner.restore(learner)  # an optimizer puts each of its own where it belongs
        training.progress = _progress(state["progress"])
        training.running.restore(_moved(state["running"], device))
        if training.stopper:
            training.stopper.restore(state["stopper"])
        training.best = dict(_moved(state["best"], device))
        _restore_generators(state["random"], device)
    except (RuntimeError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise Mistake(f"checkpoints/last.pt: belongs to another model or optimizer ({reason})") from error


def _moved(state: Any, device: torch.device) -> Any:
    """Return a state with its tensors on `device`; Apple's MPS has no float64, which stays on the CPU."""
    if isinstance(state, torch.Tensor):
        return state if device.type == "mps" and state.dtype == torch.float64 else state.to(device)
    if isinstance(state, dict):
        return {name: _moved(own, device) for name, own in state.items()}
    if isinstance(state, list | tuple):
        return type(state)(_moved(own, device) for own in state)
    return state


def _generators(device: torch.device) -> dict[str, torch.Tensor]:
    """Return the states that dropout and the like draw from: by kind of device, for a resume may get another GPU."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    elif device.type == "mps":
        states["mps"] = torch.mps.get_rng_state()
    return states


def _restore_generators(states: dict[str, torch.Tensor], device: torch.device) -> None:
    """Put the generators into their saved states; on another kind of device its own goes on as it was seeded."""
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)
    elif device.type == "mps" and "mps" in states:
        torch.mps.set_rng_state(states["mps"])


def _progress(state: dict[str, object]) -> Progress:
    """Return where training stood, each number of its own type."""
    plain = Progress()
    for name, value in state.items():
        kind = type(getattr(plain, name))
        if value is not None and not isinstance(value, int | float if kind in (float, type(None)) else kind):
            raise TypeError(f"{name} is {value!r}")
    return Progress(**state)  # type: ignore[arg-type]  # as looked at above
