"""The command line as Hydra's users know it, and what is added to it."""

import codecs
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml
from conftest import run_folders

import dlrun as package
from dlrun import plain_output
from dlrun.config.groups import GROUPS, config_folder

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "sklearn", "pandas", "hydra", "omegaconf", "rich")


def test_help_names_every_choice_with_a_line_and_imports_nothing_heavy(tmp_path):
    code = (
        "import sys; from dlrun.cli import main; code = main(['--help']);"
        f"print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr); sys.exit(code)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert ended.returncode == 0 and ended.stderr.strip() == "[]"
    for group in GROUPS:
        for file in (config_folder() / group).rglob("*.yaml"):
            name = file.relative_to(config_folder() / group).with_suffix("").as_posix()
            lines = [line for line in ended.stdout.splitlines() if line.startswith(f"  {name} ")]
            assert lines and len(lines[0].split(maxsplit=1)[1]) > 10, (group, name)


def test_version(dlrun):
    assert dlrun("--version").out == f"dlrun {package.__version__}\n"


def test_cfg_job_shows_the_composed_config_and_runs_nothing(dlrun):
    ended = dlrun("model=cnn", "--cfg", "job", "trainer.epochs=7")
    shown = yaml.safe_load(ended.out)
    assert shown["model"]["channels"] == [32, 64] and shown["trainer"]["epochs"] == 7
    assert not ended.outputs.exists()


def test_a_package_of_the_config_can_be_shown(dlrun):
    assert yaml.safe_load(dlrun("--cfg", "job", "--package", "optimizer", "optimizer=sgd").out)["lr"] == 0.01


def test_tab_completion_knows_the_choices(dlrun, monkeypatch):
    monkeypatch.setenv("COMP_LINE", "dlrun optimizer=ad")
    found = dlrun("-sc", "query=bash").out.split()
    assert set(found) == {f"optimizer={name}" for name in ("adadelta", "adagrad", "adam", "adamax", "adamw")}
    assert "complete -o nospace" in dlrun("-sc", "install=bash").out


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("comp", {"compare"}),
        ("res", {"resume="}),
        ("model=sklearn/ran", {"model=sklearn/random_forest_classifier", "model=sklearn/random_forest_regressor"}),
        ("experiment=aml/mnist_g", {"experiment=aml/mnist_grid"}),
        ("data=iris run=la", {"run=latest"}),
        ("resume=outputs/iris", {"resume=outputs/iris-mlp/"}),
        ("data=csv data.path=gr", {"data.path=green.csv"}),
        ("predict inp", {"input="}),
        ("predict input=gr", {"input=green.csv"}),
        ("trainer.ep", {"trainer.epochs="}),
        ("data=csv data.path='half a", set()),
        ("nonsense", set()),
    ],
)
def test_tab_completion_offers_what_can_be_typed_and_never_an_error(dlrun, tmp_path, monkeypatch, typed, offered):
    (tmp_path / "green.csv").touch()
    (tmp_path / "outputs" / "iris-mlp").mkdir(parents=True)
    monkeypatch.setenv("COMP_LINE", f"dlrun {typed}")
    ended = dlrun("-sc", "query=bash")
    assert set(ended.out.split()) == offered and not ended.err and ended.exit_code == 0


@pytest.mark.parametrize("place", [0, 1, 3])
def test_m_may_stand_anywhere_and_runs_every_combination(dlrun, place):
    arguments = ["data=iris", "model=logistic,mlp", "seed=range(2)", "trainer.epochs=1"]
    arguments.insert(place, "-m")
    ended = dlrun(*arguments)
    assert ended.exit_code == 0 and len(run_folders(ended.outputs)) == 4
    sweep = next(ended.outputs.glob("sweeps/*"))
    rows = (sweep / "sweep.csv").read_text().splitlines()
    assert rows[0].startswith("job,status,model,seed") and len(rows) == 5
    assert "ranked by valid/loss" in ended.out and "best: dlrun data=iris model=" in ended.out


def test_the_sweeps_best_job_is_the_one_with_the_lowest_validation_loss(dlrun):
    import json

    ended = dlrun("-m", "data=moons", "model.hidden=[1],[16]", "trainer.epochs=10")
    losses = {f.name: json.loads((f / "metrics.json").read_text())["valid"]["loss"] for f in run_folders(ended.outputs)}
    best = min(losses, key=losses.get)
    expected = {"0": "[1]", "1": "[16]"}[best]
    assert f"model.hidden={expected}" in ended.out.split("best:")[1]


def test_a_job_that_diverges_does_not_stop_the_others(dlrun):
    ended = dlrun("-m", "data=diabetes", "model=linear", "optimizer=sgd", "optimizer.lr=1e4,0.01", "trainer.epochs=20",
                  "data.scale_target=false")  # fmt: skip
    assert ended.exit_code == 3
    rows = (next(ended.outputs.glob("sweeps/*")) / "sweep.csv").read_text()
    assert ",diverged," in rows and ",finished," in rows


def test_a_mistake_in_one_combination_is_found_before_the_first_job(dlrun):
    ended = dlrun("-m", "model=mlp,cnnn")
    assert ended.exit_code == 2 and "did you mean 'cnn'" in ended.err and not ended.outputs.exists()


def test_names_with_blanks_and_parentheses_are_taken_literally(dlrun, tmp_path):
    table = "Time (min),Buy [y/n]\n" + "".join(f"{i % 9}.5,{'ny'[i % 9 > 4]}\n" for i in range(50))
    (tmp_path / "visits (1).csv").write_text(table)
    ended = dlrun("data=csv", "data.path=visits (1).csv", "data.target=Buy [y/n]", "trainer.epochs=1")
    assert ended.exit_code == 0, ended.err
    ended = dlrun("data=csv", "data.path=visits (1).csv", "data.target=Time (min)", "name=it's mine (2)",
                  "trainer.epochs=1", "output_dir=my runs")  # fmt: skip
    assert ended.exit_code == 0, ended.err
    assert list((tmp_path / "my runs").glob("csv-mlp/*/metrics.json"))


@pytest.fixture
def own_network(tmp_path):
    (tmp_path / "conf" / "model").mkdir(parents=True)
    (tmp_path / "conf" / "model" / "mine.yaml").write_text("# My own\n_target_: my_nets.Mine\nwidth: 5\n")
    (tmp_path / "my_nets.py").write_text(
        "from torch import nn\n"
        "class Mine(nn.Sequential):\n"
        "    def __init__(self, input_shape, outputs, width: int):\n"
        "        super().__init__(nn.Linear(input_shape[0], width), nn.Tanh(), nn.Linear(width, outputs))\n"
    )
    return tmp_path


def command(*arguments, cwd):
    """dlrun as a new process: the console script where it is installed beside this Python."""
    script = shutil.which("dlrun", path=str(Path(sys.executable).parent))
    line = [script] if script else [sys.executable, "-m", "dlrun"]
    return subprocess.run([*line, *arguments], cwd=cwd, capture_output=True, text=True)


def test_a_users_own_class_in_the_current_folder_works_the_same_way(own_network):
    ended = command("--config-dir", "conf", "model=mine", "data=iris", "trainer.epochs=1", cwd=own_network)
    assert ended.returncode == 0, ended.stderr
    assert "43 parameters" in ended.stdout and list(own_network.glob("outputs/iris-mine/*/metrics.json"))


def test_help_shows_a_users_own_choices_too(own_network):
    assert "  mine" in command("--config-dir", "conf", "--help", cwd=own_network).stdout


def test_a_users_own_class_is_not_run_without_their_word(own_network):
    arguments = ["model._target_=my_nets.Mine", "~model.hidden", "data=iris"]
    ended = command(*arguments, cwd=own_network)
    assert ended.returncode == 2 and "allow_targets=[my_nets]" in ended.stderr


def test_python_m_dlrun_is_dlrun(tmp_path):
    ended = subprocess.run([sys.executable, "-m", "dlrun", "--version"], cwd=tmp_path, capture_output=True, text=True)
    assert ended.stdout == f"dlrun {package.__version__}\n"


def test_a_checkout_finds_the_configs_at_its_top():
    if not (ROOT / "src" / "dlrun" / "configs").exists() and Path(package.__file__).is_relative_to(ROOT):
        assert config_folder() == ROOT / "configs"


@pytest.mark.slow
def test_an_installed_wheel_finds_its_configs_and_runs_elsewhere(tmp_path):
    pytest.importorskip("hatchling")
    source, dist, site = tmp_path / "source", tmp_path / "dist", tmp_path / "site"
    ignored = shutil.ignore_patterns(".git", ".venv", "outputs", "__pycache__", ".pytest_cache", "dist")
    shutil.copytree(ROOT, source, ignore=ignored)
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(dist)]
    subprocess.run(build, cwd=source, check=True, capture_output=True)
    with zipfile.ZipFile(next(dist.glob("*.whl"))) as wheel:
        wheel.extractall(site)
    shutil.rmtree(source)
    environment = {**os.environ, "PYTHONPATH": str(site)}
    run = [sys.executable, "-m", "dlrun", "data=iris", "model=logistic", "trainer.epochs=1"]
    ended = subprocess.run(run, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    where = "import dlrun.config.groups as p; print(p.config_folder())"
    found = subprocess.run([sys.executable, "-c", where], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert found.stdout.strip() == str(site / "dlrun" / "configs")


def test_output_falls_back_to_plain_characters_where_the_encoding_lacks_them(tmp_path):
    rows = "".join(f"{i % 7},{'größer' if i % 7 > 3 else '小'}\n" for i in range(40))
    (tmp_path / "g.csv").write_text("größe,y\n" + rows, encoding="utf-8")
    run = ["data=csv", "data.path=g.csv", "data.target=y", "model=logistic", "plots=[]", "note=R² ≥ ½ – naïve"]
    for encoding, line in (("ascii", run), ("cp932", ["compare", "outputs"]), ("cp1251", ["--help"])):
        ended = subprocess.run([sys.executable, "-m", "dlrun", *line], cwd=tmp_path, capture_output=True,
                               env=os.environ | {"PYTHONIOENCODING": encoding})  # fmt: skip
        assert ended.returncode == 0 and b"Traceback" not in ended.stderr, ended.stderr
        assert ended.stdout.decode(encoding).strip()
    assert "grosse" in plainly("größe") and plainly("R² – 3 × 4") == "R2 - 3 x 4"


def plainly(text):
    """What a text becomes in an encoding that has ASCII only."""
    codecs.register_error("dlrun.plain", plain_output.in_plain_characters)
    return text.encode("ascii", "dlrun.plain").decode()
