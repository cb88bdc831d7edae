"""`dlrun show <choice>`: a choice of any group, its settings with their meaning, and what it is built of."""

from __future__ import annotations

import inspect
from pathlib import Path

import yaml

from dlrun.config.groups import GROUPS, choices_of, chosen_as, config_folder
from dlrun.errors import Mistake, did_you_mean


def show(choices: list[str]) -> int:
    """Print the YAML of choices, whose comments say what each setting means, and the docstring of their class.

    Args:
        choices: such as `mlp` or `data=moons`.

    Raises:
        Mistake: no such choice.
    """
    if not choices:
        raise Mistake("show: name a choice, such as mlp or moons (dlrun list model shows them)")
    for name in choices:
        for group, file in _find(name):
            print(chosen_as(group, file.relative_to(config_folder() / group).with_suffix("").as_posix()))
            text = file.read_text(encoding="utf-8")
            print("".join(f"  {line}\n" for line in text.splitlines() if not line.startswith("# @package")), end="")
            print(_docstring_of(text))
    return 0


def _find(name: str) -> list[tuple[str, Path]]:
    """Return the files of a choice: `mlp` in whatever group, or `model=mlp`."""
    group, _, choice = name.rpartition("=")
    groups = [group] if group else GROUPS
    files = [(g, config_folder() / g / f"{choice}.yaml") for g in groups]
    files = [(g, file) for g, file in files if file.is_file()]
    if not files:
        every = [choice for g in GROUPS for choice in choices_of(config_folder() / g)]
        raise Mistake(f"show: there is no choice '{name}'{did_you_mean(choice, every)}")
    return files


def _docstring_of(text: str) -> str:
    """Return the docstring of the class or function that a YAML names, or nothing."""
    settings = yaml.safe_load(text) or {}
    target = settings.get("_target_", "")
    if not target.startswith("dlrun."):
        return f"  ({target}: see its own documentation)\n" if target else ""
    module, _, name = target.rpartition(".")
    import importlib

    return "".join(
        f"  {line}\n" for line in (inspect.getdoc(getattr(importlib.import_module(module), name)) or "").splitlines()
    )
