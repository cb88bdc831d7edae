"""Where run folders are: a new one, the one that a person names, and the latest."""

from __future__ import annotations

import re
import secrets
from datetime import datetime
from pathlib import Path

from dlrun.errors import Mistake
from dlrun.store.files import writing
from dlrun.store.folder import ENVIRONMENT, FORMAT, OVERRIDES, RECORD, WORK, RunFolder


def new_run(output_dir: str, data: str, model: str) -> RunFolder:
    """Make `<output_dir>/<data>-<model>/<date>_<time>_<id>/`, which no other run has, however fast they start.

    Raises:
        Mistake: it cannot be written there.
    """
    return _new_folder(Path(output_dir).expanduser() / re.sub(r"[^\w.+-]+", "_", f"{data}-{model}"))


def new_sweep(output_dir: str) -> RunFolder:
    """Make `<output_dir>/sweeps/<date>_<time>_<id>/`.

    Raises:
        Mistake: it cannot be written there.
    """
    return _new_folder(Path(output_dir).expanduser() / "sweeps")


def own_folder(path: str) -> RunFolder:
    """Return the folder at `path`, made if it is not there, for runs that a person gives a place of their own.

    Raises:
        Mistake: it cannot be made, or holds something else than several runs.
    """
    folder = RunFolder(Path(path).expanduser())
    with writing(folder.path):
        folder.path.mkdir(parents=True, exist_ok=True)
    there = [file for file in folder.path.iterdir() if file.name != WORK]  # which a killed process leaves behind
    if there and not (folder.has_record and folder.record().kind != "run"):
        raise Mistake(f"sweep_dir: {path} holds something else than a sweep; name another folder")
    return folder


def open_run(path: str) -> RunFolder:
    """Return the run folder at `path`; `latest` is the one below outputs/ that was written last.

    Raises:
        Mistake: there is none, or it was made by another dlrun.
    """
    folder = latest(Path("outputs")) if path == "latest" else RunFolder(Path(path).expanduser())
    if not folder.path.is_dir():
        raise Mistake(f"{path}: there is no such folder")
    lacking = [name for name in (RECORD, ENVIRONMENT, OVERRIDES) if not folder.has(name)]
    if lacking:
        raise Mistake(f"{path}: no run folder of dlrun's (it has no {lacking[0]})")
    made = folder.environment().get("format")
    if made != FORMAT:
        raise Mistake(
            f"{path}: has format {made}, and this dlrun reads format {FORMAT}; use the dlrun that made it"
            " (0.1 for format 1)"
        )
    return folder


def latest(outputs: Path) -> RunFolder:
    """Return the run below `outputs` that was written last, whatever its folder is called; of a sweep, or a run in
    parts, the folder of the whole.

    Raises:
        Mistake: there is none.
    """
    every = {path.parent for path in outputs.rglob(ENVIRONMENT)}
    wholes = [RunFolder(folder) for folder in every if not every.intersection(folder.parents)]
    if not wholes:
        raise Mistake("latest: there is no run below outputs/ yet")
    return max(wholes, key=lambda folder: (_written(folder), folder.path))


def _written(folder: RunFolder) -> float:
    """Return when anything of a run, or of its parts, was written last."""
    return max((inner.written() for inner in folder.runs_below()), default=0.0)


def _new_folder(parent: Path) -> RunFolder:
    while True:
        path = parent / f"{datetime.now():%Y-%m-%d_%H-%M-%S}_{secrets.token_hex(3)}"
        try:
            parent.mkdir(parents=True, exist_ok=True)
            path.mkdir()
            return RunFolder(path)
        except FileExistsError:
            if not parent.is_dir():
                raise Mistake(f"output_dir: {parent} is a file, not a folder; choose another output_dir") from None
        except OSError as error:
            raise Mistake(
                f"output_dir: cannot write to '{parent}' ({error.strerror}); choose another: output_dir=<folder>"
            ) from error
