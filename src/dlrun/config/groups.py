"""The Hydra groups: where they lie, and what there is to choose in each."""

from __future__ import annotations

from pathlib import Path


def config_folder() -> Path:
    """Return the folder of the Hydra groups: inside the package in a wheel, at the top level in a checkout."""
    package = Path(__file__).resolve().parents[1]
    inside, beside = package / "configs", package.parents[1] / "configs"
    return inside if inside.is_dir() else beside


GROUPS = ("data", "model", "optimizer", "initializer", "scheduler", "loss", "trainer", "solver", "launcher", "sweeper",
          "experiment")  # fmt: skip


def choices_of(folder: Path) -> dict[str, str]:
    """Return the line on each choice of a group, by name; sub-folders too."""
    files = sorted(folder.rglob("*.yaml"))
    return {f.relative_to(folder).with_suffix("").as_posix(): _first_comment(f) for f in files}


def _first_comment(file: Path) -> str:
    with open(file, encoding="utf-8") as lines:
        comments = (line[1:].strip() for line in lines if line.startswith("#") and "@package" not in line)
        return next(comments, "")
