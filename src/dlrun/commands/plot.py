"""`dlrun plot run=<run folder>`: the pictures of a run, drawn anew: some of them, or those of a job of a sweep."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console

from dlrun.commands.evaluate import own_data, recipe_of
from dlrun.data.split import Split
from dlrun.errors import Mistake
from dlrun.plots.draw import draw
from dlrun.plots.finished_run import FinishedRun
from dlrun.runs.load import load
from dlrun.store.folder import RunFolder
from dlrun.store.record import Record


def plot(
    run: str = "latest",
    plots: list[str] | None = None,
    device: str = "auto",
    allow_targets: list[str] | None = None,
    config_dir: str | None = None,
) -> int:
    """Draw the pictures of a finished run from its own data.

    Args:
        run: a run folder, or `latest`.
        plots: names of pictures; None: all that make sense for it.
        device: `auto`, `cpu`, `cuda`, …
        allow_targets: your own packages, if the run's model is from one of them.
        config_dir: your own groups, if the run used any (`--config-dir`).

    Raises:
        Mistake: no such picture, or the run or its data cannot be used.
    """
    fitted = load(run, device, tuple(allow_targets or ()), config_dir)
    record = fitted.folder.record()
    if not record.figures or record.status == "diverged":
        raise Mistake(f"plot: {fitted.folder} has no figures to draw (status {record.status})")
    wanted = f"plots=[{','.join(plots)}]" if plots else "plots=[all]"
    recipe = recipe_of(fitted, [wanted], config_dir, allow_targets)
    data = own_data(fitted, recipe)
    splits = data.splits()
    check_figures(fitted.folder, record, splits)
    predictions = {
        name: fitted.task.predictions(scores, splits[name].targets, splits[name].truth)
        for name, scores in fitted.scores(splits).items()
    }
    console = Console(highlight=False, soft_wrap=True)
    finished = FinishedRun(fitted, data, predictions, record.to_json(), fitted.folder.history())
    draw(console, finished, recipe.output.plots)
    console.print(f"{fitted.folder.plots}", markup=False)
    return 0


def check_figures(folder: RunFolder, record: Record, splits: Mapping[str, Split]) -> None:
    """Refuse a record that lacks the figures, or the baseline, of a split.

    Raises:
        Mistake: it does.
    """
    for name in ("train_eval" if split == "train" else split for split in splits):
        for where, figures in (("", record.figures), ("baseline of ", record.baseline)):
            if name not in figures:
                raise folder.damaged_record(f"it has no {where}{name}")
