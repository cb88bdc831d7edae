"""What models, data and tasks speak of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

TASKS = ("regression", "binary", "multiclass", "multilabel")


@dataclass(frozen=True)
class Spec:
    """What data are: all that a model, a loss and a report need to know of them.

    Attributes:
        task: regression, binary, multiclass or multilabel.
        input_shape: of one row: (features,), (channels, height, width), (time, features).
        outputs: scores that a model gives for a row: 1 for binary, else classes, labels or targets.
        class_names: by class index; for multilabel one per label; empty for regression.
        feature_names: one per input of a table, after preprocessing; empty for images.
        target_names: one per target.
        target_mean, target_scale: regression: what the standardised target was shifted and divided by, per target.
        vocabulary: number of token ids, or None where the inputs are not tokens.
    """

    task: str
    input_shape: tuple[int, ...]
    outputs: int
    class_names: list[str] = field(default_factory=list)
    feature_names: list[str] = field(default_factory=list)
    target_names: list[str] = field(default_factory=list)
    target_mean: list[float] = field(default_factory=list)
    target_scale: list[float] = field(default_factory=list)
    vocabulary: int | None = None

    SUPPLIED: ClassVar[tuple[str, ...]] = ("input_shape", "outputs", "vocabulary", "task")

    def supplied(self) -> dict:
        """What the runner passes to a model, where its constructor names it."""
        return {name: getattr(self, name) for name in self.SUPPLIED}
