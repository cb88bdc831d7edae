"""metrics.json, typed: what became of a run, a run in parts, or a sweep, with every figure."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from dlrun.errors import Mistake, did_you_mean

Kind = Literal["run", "parts", "sweep"]
Figures = Mapping[str, Any]  # by metric: a number, None where it is undefined; `confusion_matrix` a table of counts

SPLITS = ("train_eval", "valid", "test")
STATUSES = ("running", "finished", "interrupted", "diverged", "pruned", "failed")


@dataclass(frozen=True)
class Record:
    """What became of a run.

    Attributes:
        status: one of STATUSES.
        kind: a single `run`; a run in `parts` (folds, repeats, a learning curve), whose figures are means; a `sweep`,
            which has no figures of its own.
        config: by dotted key.
        choices: of each config group.
        figures: by split (train_eval, valid, test) and metric.
        baseline: the same of the baseline on the same rows.
        undefined: by split, why a metric is None.
        deviation: of a run in parts, the sample standard deviation of each figure; None of a single part.
        out_of_fold: figures of the held-out rows of all folds taken together.
        parts: how many are averaged; None where nothing is.
        rows: by split.
        parameters: trainable ones; None where there are none to count.
        best_epoch: whose weights were evaluated; a mean over parts need not be whole.
        epochs: trained.
        fit_seconds: spent in training, in all parts together.
        notes: what was inferred, filled in, dropped or suspicious in the data; of parts, the notes of any.
    """

    status: str
    kind: Kind = "run"
    config: Mapping[str, Any] = field(default_factory=dict)
    choices: Mapping[str, str] = field(default_factory=dict)
    figures: Mapping[str, Figures] = field(default_factory=dict)
    baseline: Mapping[str, Figures] = field(default_factory=dict)
    undefined: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    deviation: Mapping[str, Figures] = field(default_factory=dict)
    out_of_fold: Figures = field(default_factory=dict)
    parts: int | None = None
    rows: Mapping[str, int] = field(default_factory=dict)
    parameters: int | None = None
    best_epoch: float | None = None
    epochs: float | None = None
    fit_seconds: float | None = None
    notes: Sequence[str] = ()

    @classmethod
    def read(cls, content: Mapping[str, Any], where: str) -> Record:
        """Return the record that `content`, the object of a metrics.json, holds.

        Raises:
            Mistake: a field is missing or of another type; names the file, `where`, and the field.
        """
        try:
            return cls(
                figures={split: _figures(content[split], split) for split in SPLITS if split in content},
                **{name: check(content[name], name) for name, check in _CHECKS.items() if name in content},
                **{name: _choice(content.get(name), name, choices) for name, choices in _CHOICES.items()},
            )
        except _Damage as damage:
            raise Mistake(f"{where}: is damaged ({damage})") from damage

    def to_json(self) -> dict[str, Any]:
        """Return the object of metrics.json; what is empty or not known is left out."""
        judged = {"baseline": self.baseline, "undefined": self.undefined} if self.figures else {}
        rest = {name: getattr(self, name) for name in _CHECKS if name not in ("baseline", "undefined")}
        filled = {name: value for name, value in rest.items() if value not in (None, {}, ())}
        parameters = {"parameters": self.parameters} if self.figures else {}
        return {"status": self.status, "kind": self.kind, **self.figures, **judged, **parameters, **filled}

    def figure(self, name: str) -> float | None:
        """Return a figure by `<split>/<metric>` or `baseline/<split>/<metric>`; None where there is no such number."""
        split, _, metric = name.removeprefix("baseline/").partition("/")
        figures = self.baseline if name.startswith("baseline/") else self.figures
        value = figures.get(split, {}).get(metric)
        return value if _is_number(value) else None

    def deviation_of(self, name: str) -> float | None:
        """Return the standard deviation of a figure over the parts; None where there is none."""
        split, _, metric = name.partition("/")
        return self.deviation.get(split, {}).get(metric)

    @property
    def warnings(self) -> list[str]:
        """The notes that whoever reads a figure must know of."""
        return [note for note in self.notes if note.startswith("warning")]

    @property
    def still_improving(self) -> bool:
        """Whether a run that keeps its best weights had its best epoch at the end of all that it was given."""
        monitor = str(self.config.get("trainer.early_stopping.monitor") or "")
        keeps_best = "valid" in self.figures and monitor.startswith("valid/")
        keeps_best &= self.config.get("trainer.early_stopping.restore_best") is True  # else the last counts as the best
        ended = self.status == "finished" and self.kind == "run"
        return ended and keeps_best and (self.epochs or 0) > 1 and self.best_epoch == self.epochs

    @property
    def names(self) -> list[str]:
        """The figures that it has, as `<split>/<metric>`, undefined ones too."""
        return [f"{split}/{metric}" for split, figures in self.figures.items() for metric in figures]


class _Damage(ValueError):
    """A field that is not what it should be."""


def _require(holds: bool, name: str, value: object, wanted: str) -> None:
    if not holds:
        kinds = {dict: "an object", list: "a list", str: "text", bool: "a truth value", type(None): "null"}
        raise _Damage(f"{name} is {kinds.get(type(value), str(value)[:20])}, not {wanted}")


def _is_number(value: object) -> bool:
    """Return whether a value is a finite number that fits a float."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < 1e308 and math.isfinite(value)


def _choice(value: object, name: str, choices: tuple[str, ...]) -> Any:
    if value is None:
        raise _Damage(f"it has no {name}" + ", as none of dlrun 0.1 has" * (name == "kind"))
    if value not in choices:
        raise _Damage(f"{name} is '{str(value)[:20]}', not one of {', '.join(choices)}{did_you_mean(value, choices)}")
    return value


def _table(value: object, name: str, check: Callable[[object, str], Any]) -> dict[str, Any]:
    """Return an object of which `check` accepts every value."""
    if not isinstance(value, dict):
        _require(False, name, value, "a table")
    assert isinstance(value, dict)
    return {key: check(inner, f"{name}/{key}") for key, inner in value.items()}


def _list(value: object, name: str, check: Callable[[object, str], Any]) -> list[Any]:
    """Return a list of which `check` accepts every value."""
    _require(isinstance(value, list), name, value, "a list")
    assert isinstance(value, list)
    return [check(inner, name) for inner in value]


def _figures(value: object, name: str) -> dict[str, Any]:
    """Return the figures of a split."""
    return _table(value, name, _figure)


def _figure(value: object, name: str) -> float | list[list[int]] | None:
    if name.endswith("/confusion_matrix"):
        return _counts(value, name)
    _require(value is None or _is_number(value), name, value, "a number")
    return value  # type: ignore[return-value]


def _counts(value: object, name: str) -> list[list[int]]:
    square = isinstance(value, list) and all(isinstance(row, list) and len(row) == len(value) for row in value)
    _require(square and all(_is_number(n) for row in value for n in row), name, value, "a table of counts")  # type: ignore[attr-defined]
    return value  # type: ignore[return-value]


def _splits(value: object, name: str) -> dict[str, Any]:
    """Return figures by split."""
    return _table(value, name, _figures)


def _number(value: object, name: str) -> float:
    _require(_is_number(value), name, value, "a number")
    return value  # type: ignore[return-value]


def _count(value: object, name: str, least: int = 0) -> int:
    _require(_is_number(value) and isinstance(value, int) and value >= least, name, value, "a count")
    return value  # type: ignore[return-value]


def _count_or_none(value: object, name: str) -> int | None:
    return None if value is None else _count(value, name)


def _text(value: object, name: str) -> str:
    _require(isinstance(value, str), name, value, "text")
    return value  # type: ignore[return-value]


def _as_it_is(value: object, _name: str) -> object:
    return value


_CHOICES = {"status": STATUSES, "kind": get_args(Kind)}
_CHECKS: dict[str, Callable[[object, str], Any]] = {  # in the order in which they are written
    "baseline": _splits,
    "undefined": lambda value, name: _table(value, name, lambda v, n: _table(v, n, _text)),
    "deviation": _splits,
    "out_of_fold": _figures,
    "parts": lambda value, name: None if value is None else _count(value, name, least=1),
    "rows": lambda value, name: _table(value, name, _count),
    "parameters": _count_or_none,
    "best_epoch": _number,
    "epochs": _number,
    "fit_seconds": _number,
    "notes": lambda value, name: _list(value, name, _text),
    "choices": lambda value, name: _table(value, name, _text),
    "config": lambda value, name: _table(value, name, _as_it_is),
}
