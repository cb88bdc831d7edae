"""The metrics that are logged every epoch: cheap ones as tensor sums, and whichever of the whole suite is monitored."""

from __future__ import annotations

from torch import Tensor

from dlrun.errors import Mistake, did_you_mean
from dlrun.tasks.metrics import EPOCH_METRIC, compute, metric_names
from dlrun.tasks.predictions import from_scores
from dlrun.tensors import Spec


class EpochMetrics:
    """Accuracy (R² for regression) of a split's scores, and the monitored metric on validation rows.

    Args:
        spec: of the data.
        monitored: logged values that early stopping or a schedule looks at, such as `valid/f1`.
        validated: whether there are validation rows.
        judged: the objective of a search, computed beside them where it is a metric of validation rows.

    Attributes:
        judged_only: the logged value that only the pruning of a search looks at, and no file keeps; None: no such.

    Raises:
        Mistake: something is monitored that nothing logs.
    """

    def __init__(self, spec: Spec, monitored: list[tuple[str, str]], validated: bool, judged: str | None = None):
        self.spec = spec
        self.name = EPOCH_METRIC[spec.task]
        logged = logged_names(spec, validated)
        for key, value in monitored:
            if value not in logged:
                raise Mistake(f"{key}: '{value}' is not logged{did_you_mean(value, logged)} ({', '.join(logged)})")
        suite = {value.partition("/")[2] for _, value in monitored if value.startswith("valid/")}
        suite -= {"loss", self.name}
        metric = (judged or "").partition("/")[2]
        only = judged in logged and judged.startswith("valid/") and metric not in suite | {"loss", self.name}
        self.judged_only = judged if only else None
        self.from_suite = sorted(suite | ({metric} if only else set()))

    def __call__(self, scores: Tensor, targets: Tensor, split: str) -> dict[str, float]:
        """Metrics of (n, outputs) scores against targets, by name."""
        values = {self.name: _quick(self.spec.task, scores, targets).item()}
        if split == "valid" and self.from_suite:
            figures = compute(self.spec, from_scores(self.spec, scores, targets))
            for name in self.from_suite:
                value = figures.values[name]
                values[name] = float("nan") if value is None else value
        return values


def logged_names(spec: Spec, validated: bool) -> list[str]:
    """Every value that can be monitored: what is logged each epoch, and the suite's metrics on validation rows."""
    names = ["train/loss", f"train/{EPOCH_METRIC[spec.task]}"]
    return names + [f"valid/{name}" for name in ("loss", *metric_names(spec))] * validated


def _quick(task: str, scores: Tensor, targets: Tensor) -> Tensor:
    """Accuracy, or the mean R² over the targets, as a tensor of no dimensions."""
    if task == "regression":
        scores, targets = _wide(scores), _wide(targets)
        residual = (targets - scores).square().sum(dim=0)
        return (1 - residual / (targets - targets.mean(dim=0)).square().sum(dim=0)).mean()
    if task == "multiclass":
        return _wide(scores.argmax(dim=1) == targets).mean()
    return _wide((scores > 0) == (targets > 0.5)).mean()


def _wide(tensor: Tensor) -> Tensor:
    """As float64, on the CPU where the device has none."""
    return (tensor.cpu() if tensor.device.type == "mps" else tensor).double()
