"""What Hydra offers its users besides composing: showing the config, and completing names in the shell."""

from __future__ import annotations

import argparse

from hydra._internal.hydra import Hydra
from hydra.core.global_hydra import GlobalHydra

from dlrun.config.compose import hydra
from dlrun.config.grammar import quote_literal
from dlrun.errors import Mistake


def show_config(options: argparse.Namespace) -> int:
    """Print the composed config: `--cfg job|hydra|all`, with `--package` and `--resolve`."""
    with hydra(options.config_dir) as extra:
        overrides = [quote_literal(override) for override in options.overrides] + extra
        _hydra().show_cfg("config", overrides, options.cfg, options.package, options.resolve)
    return 0


def complete(options: argparse.Namespace) -> int:
    """Print what the shell asks for: `-sc install=bash|zsh|fish`, `uninstall=…` or `query=…`."""
    with hydra(options.config_dir):
        try:
            _hydra().shell_completion("config", options.overrides)
        except ValueError as error:
            raise Mistake(f"-sc: {' '.join(str(error).split())}") from error
    return 0


def _hydra() -> Hydra:
    """Return Hydra, as it has been initialised."""
    initialised = GlobalHydra.instance().hydra
    assert initialised is not None
    return initialised
