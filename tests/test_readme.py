"""Every dlrun command in the README works as printed."""

import re
import shlex
from pathlib import Path

import pytest
from conftest import needs_mnist

README = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")
COMMANDS = [
    line
    for block in re.findall(r"```sh\n(.*?)```", README, flags=re.DOTALL)
    for line in block.splitlines()
    if line.startswith("dlrun")
]
VISITS = "Time (min),Day,Buy\n" + "".join(f"{i * 0.37 % 5:.2f},{i % 7},{int(i * 0.37 % 5 > 2)}\n" for i in range(80))


def test_there_are_commands():
    assert len(COMMANDS) >= 8


@pytest.mark.parametrize("line", [pytest.param(c, marks=needs_mnist) if "mnist" in c else c for c in COMMANDS])
def test_command_works_as_printed(dlrun, tmp_path, line):
    (tmp_path / "visits.csv").write_text(VISITS)
    arguments = shlex.split(line)[1:]
    if "=latest" in line:
        dlrun("data=iris", "trainer.epochs=1", "model=logistic")
    shorter = ["data.limit=500", "trainer.epochs=1"] if "data=mnist" in line and "--cfg" not in line else []
    assert dlrun(*arguments, *shorter).exit_code == 0


def test_both_installation_commands_use_what_pyproject_offers():
    project = (Path(__file__).resolve().parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    assert 'dlrun = "dlrun.cli:entry_point"' in project and "\ntest = [" in project
    assert README.count("pip install") == 2
