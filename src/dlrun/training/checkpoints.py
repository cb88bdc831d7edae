"""checkpoints/last.pt: all that a resume needs, as tensors and plain numbers, so that loading it can run no code."""

from __future__ import annotations

import io

import torch

from dlrun.errors import Mistake
from dlrun.training.contracts import Progress, Training


def to_bytes(training: Training) -> bytes:
    """Return the whole state of `training` and of PyTorch's random generators."""
    state = {
        "progress": vars(training.progress).copy(),
        "learner": training.learner.state(),
        "running": training.running.state(),
        "stopper": training.stopper.state() if training.stopper else None,
        "best": training.best,
        "random": {"cpu": torch.get_rng_state(), "cuda": torch.cuda.get_rng_state_all()},
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
        state = torch.load(io.BytesIO(content), map_location=device, weights_only=True)
    except Exception as error:  # torch raises half a dozen types for a broken file; all mean the same to a person
        kind = type(error).__name__
        raise Mistake(f"checkpoints/last.pt: cannot be read ({kind}); it is cut short or broken") from error
    try:
        training.learner.restore(state["learner"])
        training.progress = _progress(state["progress"])
        training.running.restore(state["running"])
        if training.stopper:
            training.stopper.restore(state["stopper"])
        training.best = dict(state["best"])
        random = state["random"]
        torch.set_rng_state(random["cpu"].cpu())
        if random["cuda"] and len(random["cuda"]) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all([generator.cpu() for generator in random["cuda"]])
    except (RuntimeError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise Mistake(f"checkpoints/last.pt: belongs to another model or optimizer ({reason})") from error


def _progress(state: dict[str, object]) -> Progress:
    """Return where training stood, each number of its own type."""
    plain = Progress()
    for name, value in state.items():
        kind = type(getattr(plain, name))
        if value is not None and not isinstance(value, int | float if kind in (float, type(None)) else kind):
            raise TypeError(f"{name} is {value!r}")
    return Progress(**state)  # type: ignore[arg-type]  # as looked at above
