"""What Hydra offers its users besides composing: showing the config, and completing names in the shell."""

from __future__ import annotations

import argparse
import inspect
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from hydra._internal.hydra import Hydra
from hydra.core.global_hydra import GlobalHydra

from dlrun.arguments import TAKE_THE_REST
from dlrun.config.compose import hydra
from dlrun.config.grammar import quote_literal
from dlrun.config.groups import GROUPS, choices_of, config_folder
from dlrun.config.schema import key_of
from dlrun.errors import Mistake

CONTINUE = ("resume", "run")  # keys that name a run folder, or latest


def show_config(options: argparse.Namespace) -> int:
    """Print the composed config: `--cfg job|hydra|all`, with `--package` and `--resolve`."""
    with hydra(options.config_dir) as extra:
        overrides = [quote_literal(override) for override in options.overrides] + extra
        _hydra().show_cfg("config", overrides, options.cfg, options.package, options.resolve)
    return 0


def complete(options: argparse.Namespace, functions: Mapping[str, Callable[[], Callable[..., int]]]) -> int:
    """Print what the shell asks for: `-sc install=bash|zsh|fish`, `uninstall=…` or `query=…`.

    Args:
        options: the command line.
        functions: by the name of each command, what gives its function.
    """
    asked = any(override.startswith("query=") for override in options.overrides)
    words, current = _typed(os.environ.get("COMP_LINE", ""))
    if asked and (own := candidates(words, current, options.config_dir, functions)):
        print("\n".join(own))
    if asked and (words[:1] and words[0] in functions or current.partition("=")[0] in (*GROUPS, *CONTINUE)):
        return 0
    try:
        with hydra(options.config_dir):
            _hydra().shell_completion("config", options.overrides)
    except (Mistake, ValueError) as error:
        if not asked:  # nothing of what is wrong with a half typed line belongs into the prompt
            raise Mistake(f"-sc: {' '.join(str(error).split())}") from error
    return 0


def candidates(
    words: list[str], current: str, config_dir: str | None, functions: Mapping[str, Callable[[], Callable[..., int]]]
) -> list[str]:
    """Return what may stand in place of the word `current` after `words`, of what Hydra does not know."""
    key, equals, value = current.partition("=")
    if words and words[0] in functions:
        names = [name for name in inspect.signature(functions[words[0]]()).parameters if name not in TAKE_THE_REST]
        found = [f"{key}={path}" for path in _paths(value)] if equals else [f"{name}=" for name in names]
    elif equals and key in GROUPS:
        own = choices_of(Path(config_dir) / key) if config_dir else {}
        found = [f"{key}={name}" for name in {**choices_of(config_folder() / key), **own}]
    elif equals:
        paths = _paths(value) if key in CONTINUE or key_of(key).literal else []
        found = [f"{key}={path}" for path in paths if key not in CONTINUE or path.endswith("/")]
    else:
        found = [*(functions if not words else ()), *(f"{name}=" for name in ("experiment", *CONTINUE))]
    if key in CONTINUE and equals:
        found.append(f"{key}=latest")
    return sorted(name for name in found if name.startswith(current))


def _typed(line: str) -> tuple[list[str], str]:
    """Return the words after the program's name, and the one that is being typed."""
    words = line.split()[1:]
    current = words.pop() if words and not line.endswith(" ") else ""
    return words, current


def _paths(begun: str) -> list[str]:
    """Return the files and folders whose path begins like this; folders with a slash."""
    folder = Path(begun or ".") if begun.endswith("/") or not begun else Path(begun).parent
    shown = begun[: begun.rfind("/") + 1]
    with suppress(OSError):
        return [f"{shown}{path.name}{'/' * path.is_dir()}" for path in folder.expanduser().iterdir()]
    return []


def _hydra() -> Hydra:
    """Return Hydra, as it has been initialised."""
    initialised = GlobalHydra.instance().hydra
    assert initialised is not None
    return initialised
