"""What is to be run, and a run that has ended."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig


@dataclass
class Job:
    """What is to be run: the composed config, the choice made in each group, and the command line behind them."""

    config: DictConfig
    choices: dict[str, str]
    overrides: list[str]


@dataclass
class Run:
    """A run that has ended: its folder, what `metrics.json` holds, and the exit code of the command."""

    folder: Path
    metrics: dict
    exit_code: int


def names_of(job: Job) -> tuple[str, str]:
    """The names that the run folder is called by: of data and model."""
    return job.choices["data"], job.choices["model"]
