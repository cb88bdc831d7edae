"""`dlrun plot run=<run folder>`: the pictures of a run, drawn anew: some of them, or those of a job of a sweep."""

from __future__ import annotations

from rich.console import Console

from dlrun.commands.evaluate import own_data
from dlrun.config.compose import compose
from dlrun.errors import Mistake
from dlrun.plots.draw import check_plots, draw
from dlrun.runs.load import load
from dlrun.store.command_line import trusted_overrides
from dlrun.tasks.predictions import from_scores


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
    wanted = plots or ["all"]
    check_plots(wanted)
    trained = load(run, device, tuple(allow_targets or ()))
    record = trained.folder.record()
    if not record.figures or record.status == "diverged":
        raise Mistake(f"plot: {trained.folder} has no figures to draw (status {record.status})")
    config, _ = compose(trusted_overrides(trained.folder), config_dir)
    data = own_data(trained, config, tuple(config.allow_targets) + tuple(allow_targets or ()))
    splits = data.splits()
    predictions = {
        name: from_scores(trained.spec, scores, splits[name].targets, splits[name].truth)
        for name, scores in trained.scores(splits).items()
    }
    console = Console(highlight=False, soft_wrap=True)
    draw(console, trained, data, predictions, record.to_json(), wanted)
    console.print(f"{trained.folder.plots}", markup=False)
    return 0
