"""Every dlrun command in the README works as printed."""

import re
import shlex
from pathlib import Path

import pytest
from conftest import DATA, needs_mnist
from PIL import Image

README = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
COMMANDS = [
    line
    for block in re.findall(r"```sh\n(.*?)```", README, flags=re.DOTALL)
    for line in block.splitlines()
    if line.startswith("dlrun")
]
MAILS = "message,kind\n" + "".join(
    f"{('win money now', 'see you at lunch')[i % 2]} {i % 7},{i % 2}\n" for i in range(60)
)
LOAD = "hour,demand\n" + "".join(f"2020-01-{1 + i // 24:02} {i % 24:02}:00,{50 + i * 7 % 24}\n" for i in range(480))
VISITS = "Time (min),Day,Buy\n" + "".join(f"{i * 0.37 % 5:.2f},{i % 7},{int(i * 0.37 % 5 > 2)}\n" for i in range(80))


def test_there_are_commands():
    assert len(COMMANDS) >= 8


@pytest.mark.parametrize("line", [pytest.param(c, marks=needs_mnist) if "mnist" in c else c for c in COMMANDS])
def test_command_works_as_printed(dlrun, tmp_path, line):
    for name, content in (("visits", VISITS), ("mails", MAILS), ("load", LOAD)):
        (tmp_path / f"{name}.csv").write_text(content)
    for i in range(40):
        (tmp_path / "flowers" / ("rose", "daisy")[i % 2]).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (12, 12), (i * 5, 100 * (i % 2), 0)).save(
            tmp_path / "flowers" / ("rose", "daisy")[i % 2] / f"{i}.png"
        )
    arguments = shlex.split(line)[1:]
    if "generate" in line or "data=names" in line:
        if not (DATA / "names.txt").is_file():
            pytest.skip("the names are not at hand")
        dlrun("data=names", "data.limit=9000", "model=lstm", "trainer.epochs=1", "quiet=true")
    elif "run=latest" in line or line.startswith(("dlrun compare", "dlrun report")):
        dlrun("data=csv", "data.path=visits.csv", "data.target=Buy", "trainer.epochs=5")
    elif "=latest" in line:
        dlrun("data=iris", "trainer.epochs=1", "model=logistic", "trainer.keep_checkpoints=true")
    long = "data=mnist" in line and "--cfg" not in line
    short = {"model=gru", "data=names"} & {*arguments}
    shorter = ["data.limit=500", "trainer.epochs=1"] if long else ["trainer.epochs=1"] if short else []
    assert dlrun(*arguments, *shorter).exit_code == 0


def test_both_installation_commands_use_what_pyproject_offers():
    project = (Path(__file__).resolve().parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    assert 'dlrun = "dlrun.cli:entry_point"' in project and "\ntest = [" in project
    assert README.count("pip install") == 2
