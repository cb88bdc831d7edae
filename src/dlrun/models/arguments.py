"""What the runner tells a model of its data, where the model's constructor names it."""

from __future__ import annotations

from collections.abc import Mapping

from dlrun.tasks.base import Task
from dlrun.tensors import InputSpec

SUPPLIED = ("input_shape", "outputs", "vocabulary", "task", "branches")


def arguments(specs: Mapping[str, InputSpec], task: Task) -> dict[str, object]:
    """Return the scores that are asked for, the task, and what the inputs of a row are: of one branch its shape and the
    number of token ids; of one or several, `branches`.
    """
    known: dict[str, object] = {"outputs": task.width, "task": task, "branches": specs}
    if len(specs) == 1:
        spec = next(iter(specs.values()))
        known |= {"input_shape": spec.shape, "vocabulary": spec.vocabulary}
    return known


def of_branch(spec: InputSpec) -> dict[str, object]:
    """Return what an encoder of one branch is told: it has no head."""
    return {"outputs": None, "input_shape": spec.shape, "vocabulary": spec.vocabulary}
