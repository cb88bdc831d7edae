"""What the runner tells a model of its data, where the model's constructor names it."""

from __future__ import annotations

from dlrun.tasks.base import Task
from dlrun.tensors import InputSpec

SUPPLIED = ("input_shape", "outputs", "vocabulary", "task")


def arguments(inputs: InputSpec, task: Task) -> dict[str, object]:
    """Return the shape of a row, the scores that are asked for, the number of token ids, and the task, by name."""
    return {"input_shape": inputs.shape, "outputs": task.width, "vocabulary": inputs.vocabulary, "task": task}
