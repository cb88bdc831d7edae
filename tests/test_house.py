"""The house holds: no room imports from a floor above it, no file imports in a circle, lint and types are clean."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CHECKS = {
    "layers": ["lint-imports"],
    "lint": ["ruff", "check", "src", "tests", "scripts"],
    "format": ["ruff", "format", "--check", "src", "tests", "scripts"],
    "types": ["mypy"],
}


@pytest.mark.parametrize("name", CHECKS)
def test_the_check_of_the_house_passes(name):
    command = CHECKS[name]
    program = Path(sys.executable).with_name(command[0])
    ended = subprocess.run([program, *command[1:]], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_no_comparison_with_the_name_of_a_task_stands_outside_of_tasks():
    names = ("regression", "binary", "multiclass", "multilabel")
    outside = [file for file in (ROOT / "src").rglob("*.py") if file.parent.name != "tasks"]
    lines = [(file.name, line) for file in outside for line in file.read_text(encoding="utf-8").splitlines()]
    assert not [found for found in lines if any(f'== "{name}"' in found[1] for name in names)]


def test_no_config_object_of_omegaconf_is_known_below_the_recipe():
    below = ("training", "models", "data", "tasks", "store", "plots", "runtime.py", "fitted.py", "tensors.py")
    package = ROOT / "src" / "dlrun"
    files = [
        file
        for name in below
        for file in ([package / name] if name.endswith(".py") else (package / name).rglob("*.py"))
    ]
    others = [package / "runs" / name for name in ("assemble.py", "run.py", "conclude.py", "load.py", "evaluation.py")]
    assert not [file for file in (*files, *others) if "omegaconf" in file.read_text(encoding="utf-8").lower()]
