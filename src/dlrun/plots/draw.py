"""Which pictures a run has, and drawing them into its folder and into TensorBoard; matplotlib is imported only then."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from rich.console import Console

from dlrun.data.split import Data
from dlrun.errors import Mistake, did_you_mean
from dlrun.tasks.predictions import Predictions

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from dlrun.fitted import Fitted

# each is a function of evaluation/plots/run.py
PICTURES = (
    "learning_curves", "learning_rate", "confusion_matrix", "roc", "precision_recall", "thresholds", "calibration",
    "residuals", "fitted_curve", "forecast", "decision_boundary", "hidden_features", "mistakes", "filters", "weights",
)  # fmt: skip
DOTS_PER_INCH = 110


def check_plots(wanted: list[str]) -> None:
    """Refuse what is no picture.

    Raises:
        Mistake: an unknown name.
    """
    for name in wanted:
        if name != "all" and name not in PICTURES:
            near = did_you_mean(name, PICTURES)
            raise Mistake(f"plots: there is no picture '{name}'{near} (all, or some of {', '.join(PICTURES)})")


def draw(
    console: Console,
    fitted: Fitted,
    data: Data,
    predictions: dict[str, Predictions],
    metrics: dict,
    wanted: list[str],
) -> None:
    """Draw the pictures of a finished run into its plots/ and into TensorBoard.

    Those asked for by name of which there is nothing to draw are named on the console.

    Args:
        fitted, data, predictions, metrics: see Finished.
        wanted: names, or `all`; see `check_plots`.
    """
    from dlrun.plots import run as pictures
    from dlrun.training.loggers.tensorboard import add_pictures

    folder = fitted.folder
    history = folder.history()
    run = pictures.Finished(fitted, data, predictions, metrics, history)
    names = [name for name in PICTURES if name in wanted or "all" in wanted]
    drawn = {name: getattr(pictures, name)(run) for name in names}
    contents = {name: as_png(figure) for name, figure in drawn.items() if figure is not None}
    for name, content in contents.items():
        folder.write_picture(name, content)
    if contents:
        add_pictures(folder.path, contents, metrics["epochs"])
    for name in names:
        if name not in contents and name in wanted:
            console.print(f"plots: there is nothing to draw as {name} for {data.task.name} with these inputs and model")


def as_png(figure: Figure) -> bytes:
    """A figure as the content of a PNG file."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=DOTS_PER_INCH)
    return content.getvalue()
