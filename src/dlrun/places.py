"""Where things are."""

from __future__ import annotations

from pathlib import Path


def config_folder() -> Path:
    """The folder of the Hydra groups: inside the package in a wheel, at the top level in a checkout."""
    package = Path(__file__).resolve().parent
    inside, beside = package / "configs", package.parents[1] / "configs"
    return inside if inside.is_dir() else beside
