"""What the tests share: running dlrun as a user does, and reading the run folder that it leaves."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import settings

from dlrun.cli import main

DOCS = Path(__file__).resolve().parents[1] / "docs"
SHARED = Path(__file__).resolve().parents[2] / "shared"
DATA = Path(os.environ.get("DLRUN_DATA") or SHARED / "data")

settings.register_profile("same", derandomize=True)  # the same examples every time
settings.register_profile("anew", derandomize=False)  # pytest --hypothesis-profile=anew looks for others
settings.load_profile("same")

SIGNALS = [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]  # both stop what runs, and save
needs_mnist = pytest.mark.skipif(not (DATA / "mnist").is_dir(), reason="MNIST is not at hand (DLRUN_DATA)")


@dataclass
class Outcome:
    """What a command left behind."""

    exit_code: int
    out: str
    err: str
    outputs: Path

    @property
    def folder(self) -> Path:
        """The only run folder below outputs/."""
        folders = run_folders(self.outputs)
        assert len(folders) == 1, folders
        return folders[0]

    @property
    def metrics(self) -> dict:
        """metrics.json of the only run."""
        return json.loads((self.folder / "metrics.json").read_text())

    @property
    def history(self) -> pd.DataFrame:
        """history.csv of the only run."""
        return pd.read_csv(self.folder / "history.csv")

    @property
    def predictions(self) -> pd.DataFrame:
        """predictions.csv of the only run, floats as they were written."""
        return pd.read_csv(self.folder / "predictions.csv", keep_default_na=False)


def run_folders(outputs: Path) -> list[Path]:
    """Every run folder below `outputs`, the oldest first."""
    files = outputs.rglob("metrics.json")
    return sorted(path.parent for path in files if json.loads(path.read_text())["kind"] == "run")


def trained_by_hand(parameters, loss_of, rows: int, batch_size: int, lr: float, epochs: int) -> list[float]:
    """Train with SGD over the rows in their order, and return the mean loss of each epoch.

    Args:
        parameters: what is learned.
        loss_of: from the indices of a batch to its mean loss.
    """
    import torch

    optimizer, losses = torch.optim.SGD(parameters, lr=lr), []
    for _ in range(epochs):
        total = 0.0
        for batch in torch.arange(rows).split(batch_size):
            loss = loss_of(batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(batch)
        losses.append(total / rows)
    return losses


@pytest.fixture
def dlrun(request, tmp_path, monkeypatch, capsys):
    """Run a dlrun command line inside this process, in a fresh folder (or in `into`, below it).

    Pictures, which take a second or two, are drawn in tests marked `pictures` only.
    """
    if request.node.get_closest_marker("pictures") is None:
        monkeypatch.setattr("dlrun.runs.conclude.draw", lambda *_: None)
    monkeypatch.setenv("DLRUN_DATA", str(DATA)) if DATA.is_dir() else monkeypatch.delenv("DLRUN_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / ".cache"))

    def command(*arguments: str, into: str = ".") -> Outcome:
        place = tmp_path / into
        place.mkdir(exist_ok=True)
        monkeypatch.chdir(place)
        capsys.readouterr()
        code = main(list(arguments))
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err, place / "outputs")

    return command


@pytest.fixture
def from_docs(tmp_path, monkeypatch):
    """Write the files of a page of the docs into the test's folder, verbatim; their modules are forgotten after it."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    written = []

    def write(page: str, *modules: str) -> None:
        written.extend(modules)
        text = (DOCS / page).read_text()
        for name, content in re.findall(r"`(\S+)`:\n\n```\w+\n(.*?)```", text, flags=re.DOTALL):
            target = tmp_path / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(content)

    yield write
    for name in written:
        sys.modules.pop(name, None)
