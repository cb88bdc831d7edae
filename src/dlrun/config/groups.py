"""The Hydra groups: where they lie, and what there is to choose in each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dlrun.errors import Mistake, choose


def config_folder() -> Path:
    """Return the folder of the Hydra groups: inside the package in a wheel, at the top level in a checkout."""
    package = Path(__file__).resolve().parents[1]
    inside, beside = package / "configs", package.parents[1] / "configs"
    return inside if inside.is_dir() else beside


GROUPS = ("data", "model", "optimizer", "initializer", "scheduler", "loss", "trainer", "solver", "launcher", "sweeper",
          "experiment", "metric", "plot")  # fmt: skip
IDENTITY, FLATTEN = "identity", "torch.nn.Flatten"  # a branch that is taken as it is
LISTED = {"metrics": "metric", "plots": "plot"}  # keys that hold a list of choices of a group


def chosen_as(group: str, name: str) -> str:
    """Return how a choice is made on the command line: `model=cnn`, `plots=[roc]`."""
    keys = [key for key in LISTED if LISTED[key] == group]
    return f"{keys[0]}=[{name}]" if keys else f"{group}={name}"


def with_choices(entries: Sequence[Any], group: str, own: Path | None = None) -> list[Any]:
    """Return a list in which each name of a choice is replaced by what its YAML file holds, and its `name`.

    Args:
        entries: names, and anything else, which stays.
        group: `metric` or `plot`.
        own: the user's `--config-dir`, whose choices count before ours; or None.

    Raises:
        Mistake: a file holds no settings.
    """
    files = _files_of(config_folder() / group) | (_files_of(own / group) if own else {})
    return [_content(entry, files[entry]) if isinstance(entry, str) and entry in files else entry for entry in entries]


def with_models(encoders: Mapping[str, Any], own: Path | None = None) -> dict[str, Any]:
    """Return models by name of a branch, in which each name of a choice of `model` is replaced by its YAML's content.

    Args:
        encoders: a name (`mlp`), `identity`, a mapping with a choice and settings of its own ({model: mlp, hidden:
            [30]}), or one with a `_target_`, which stays.
        own: the user's `--config-dir`, whose choices count before ours; or None.

    Raises:
        Mistake: there is no such choice.
    """
    files = _files_of(config_folder() / "model") | (_files_of(own / "model") if own else {})
    return {branch: _model(f"model.encoders.{branch}", entry, files) for branch, entry in encoders.items()}


def _model(key: str, entry: Any, files: Mapping[str, Path]) -> Any:
    named = {"model": entry} if isinstance(entry, str) else dict(entry) if isinstance(entry, Mapping) else {}
    if "model" not in named:
        return entry
    networks = {name: file for name, file in files.items() if not name.startswith("sklearn/")}
    choices: dict[str, Path | None] = {IDENTITY: None, **networks}
    file = choose(named.pop("model"), choices, key)
    content = {"_target_": FLATTEN} if file is None else _content("", file)
    return {name: value for name, value in content.items() if name != "name"} | named


def _content(name: str, file: Path) -> dict[str, Any]:
    import yaml

    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise Mistake(f"{file}: a _target_ and settings belong here")
    return {"name": name, **content}


def choices_of(folder: Path) -> dict[str, str]:
    """Return the line on each choice of a group, by name; sub-folders too."""
    return {name: _first_comment(file) for name, file in _files_of(folder).items()}


def _files_of(folder: Path) -> dict[str, Path]:
    """Return the file of each choice of a group, by name."""
    return {file.relative_to(folder).with_suffix("").as_posix(): file for file in sorted(folder.rglob("*.yaml"))}


def _first_comment(file: Path) -> str:
    with open(file, encoding="utf-8") as lines:
        comments = (line[1:].strip() for line in lines if line.startswith("#") and "@package" not in line)
        return next(comments, "")
