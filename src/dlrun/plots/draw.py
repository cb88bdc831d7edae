"""Which pictures are wanted of a run, and drawing them into its folder and into TensorBoard."""

from __future__ import annotations

import inspect
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from rich.console import Console

from dlrun.config.build import OURS, Component, component
from dlrun.config.groups import choices_of, config_folder, with_choices
from dlrun.errors import Mistake, did_you_mean
from dlrun.plots.finished_run import FinishedRun
from dlrun.tasks.several import Several

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OF_PREDICTIONS = ("classification", "mistakes")  # our pictures that are drawn from predictions alone,
OF_THE_MODEL = ("training", "weights")  # or from the history and the weights,
ROOMS = (*OF_PREDICTIONS, *OF_THE_MODEL, "regions", "regression")  # among all of ours
FORBIDDEN = r"[^\w -]"  # in the name of a file
DOTS_PER_INCH = 110


@dataclass(frozen=True)
class Picture:
    """A picture that is wanted of a run.

    Attributes:
        name: of its file.
        function: of a finished run, with its settings; gives a matplotlib Figure, or None where there is nothing of
            the kind to draw.
        is_named: whether it was asked for by name, and not by `all`.
    """

    name: str
    function: Component
    is_named: bool

    def draw(self, run: FinishedRun) -> Figure | None:
        """Return the picture of a run, or None where there is nothing of the kind to draw.

        Raises:
            Mistake: the function gives something else.
        """
        from matplotlib.figure import Figure

        figure = self.function.target(run, **self.function.settings)
        if figure is not None and not isinstance(figure, Figure):
            kind = type(figure).__name__
            raise Mistake(f"plots.{self.name}: must give a matplotlib Figure or None, and gave {kind}")
        return figure


def read_pictures(entries: object, allowed: tuple[str, ...]) -> tuple[Picture, ...]:
    """Return the pictures that the config key `plots` lists, each once.

    Args:
        entries: `all`, or mappings: `name` (default: that of the function), `_target_` (a function of a finished run)
            and its settings. The composer has put these in the place of the names of the group `plot`.
        allowed: the user's own packages.

    Raises:
        Mistake: no list, no such picture, or a setting that it does not have.
    """
    if not isinstance(entries, list | tuple):
        raise Mistake(f"plots: a list belongs here, as in [{entries}]")
    pictures = {picture.name: picture for picture in our_pictures()} if "all" in entries else {}
    for picture in (_read(entry, allowed, is_named=True) for entry in entries if entry != "all"):
        pictures[picture.name] = picture
    return tuple(pictures.values())


@cache
def our_pictures() -> tuple[Picture, ...]:
    """Return the pictures of the group `plot`, in the order of the alphabet; they are looked up once a process."""
    entries = with_choices(sorted(choices_of(config_folder() / "plot")), "plot")
    return tuple(_read(entry, (), is_named=False) for entry in entries)


def is_picture(target: Any) -> bool:
    """a function of a finished run: one of dlrun.plots, or of a package of yours in allow_targets"""
    if not callable(target) or isinstance(target, type):
        return False
    room = target.__module__
    if room.partition(".")[0] in OURS and (not room.startswith("dlrun.plots.") or room == __name__):
        return False  # others write files, or run what they are given
    return bool(_first_argument(target))


def draw(console: Console, run: FinishedRun, pictures: Sequence[Picture]) -> None:
    """Draw pictures of a finished run into its plots/ and into TensorBoard.

    Those that were asked for by name of which there is nothing to draw are named on the console.

    Raises:
        Mistake: a function gives something else than a figure.
    """
    from dlrun.training.loggers.tensorboard import add_pictures

    folder, drawn = run.fitted.folder, {}
    for picture in pictures:
        figures = dict(_drawn(picture, run))
        for name, figure in figures.items():
            drawn[name] = as_png(figure)
            folder.write_picture(name, drawn[name])
        if not figures and picture.is_named:
            what = f"{run.task.name} with these inputs and model"
            console.print(f"plots: there is nothing to draw as {picture.name} for {what}", markup=False)
    if drawn:
        add_pictures(folder.path, drawn, run.metrics.get("epochs") or 0)


def _drawn(picture: Picture, run: FinishedRun) -> Iterator[tuple[str, Figure]]:
    """Yield a picture by the name of its file; of a run with several targets, what is drawn from predictions is drawn
    of each.
    """
    runs = {picture.name: run}
    if isinstance(run.task, Several):
        room = picture.function.target.__module__.rpartition(".")[2]
        if room in OF_PREDICTIONS or picture.function.target.__name__ == "residuals":
            targets = [part.name for part in run.task.parts]
            runs = {f"{picture.name}_{re.sub(FORBIDDEN, '_', name)}": run.of_target(name) for name in targets}
        elif room not in OF_THE_MODEL and room in ROOMS:
            return
    for name, own in runs.items():
        if (figure := picture.draw(own)) is not None:
            yield name, figure


def as_png(figure: Figure) -> bytes:
    """Return a figure as the content of a PNG file."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=DOTS_PER_INCH)
    return content.getvalue()


def _read(entry: object, allowed: tuple[str, ...], is_named: bool) -> Picture:
    if not isinstance(entry, Mapping):
        known = ["all", *choices_of(config_folder() / "plot")]
        raise Mistake(
            f"plots: there is no picture '{entry}'{did_you_mean(entry, known)} (one of {', '.join(known)}; or of your "
            f"own: plot/{entry}.yaml in the folder of --config-dir)"
        )
    settings: dict[str, Any] = dict(entry)
    name = str(settings.pop("name", None) or str(settings.get("_target_", "")).rpartition(".")[2])
    if not re.fullmatch(r"\w[\w -]*", name):
        raise Mistake(f"plots: '{name}' is no name for a picture; it becomes a file's: letters, digits, _ and -")
    function = component(settings, f"plots.{name}", is_picture, allowed)
    if _first_argument(function.target) in function.settings:
        raise Mistake(f"plots.{name}.{_first_argument(function.target)}: is the finished run, and no setting")
    return Picture(name, function, is_named)


def _first_argument(function: Any) -> str:
    """Return the name of the first argument of a function; empty where it takes none by position."""
    parameters = inspect.signature(function).parameters.values()
    return next((p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)), "")
