"""Whatever a file or a command line holds: a result or one line, no traceback, no hang, nothing left behind."""

import contextlib
import importlib.util
import io
import json
import os
import random
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dlrun.cli import main

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "damage_folders.py"
spec = importlib.util.spec_from_file_location("damage_folders", SCRIPT)
damages = importlib.util.module_from_spec(spec)
spec.loader.exec_module(damages)

QUICK = ("trainer.epochs=1", "quiet=true", "model.hidden=[4]")
OFTEN = settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
SELDOM = settings(OFTEN, max_examples=8)

WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=8)
CELLS = st.one_of(
    WORDS,
    st.integers(-(10**20), 10**20).map(str),
    st.floats().map(str),
    st.dates().map(str),
    st.sampled_from(["", "?", "NA", "None", "yes", "no", "True", "1e400", "-inf", '"', "a,b", "0x10", "１２", "1_000"]),
)


def run(*arguments: str, place: Path) -> tuple[int, str]:
    """Exit code and standard error of a dlrun command line in a folder; a traceback of ours fails the test."""
    before, out, err = os.getcwd(), io.StringIO(), io.StringIO()
    os.chdir(place)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(list(arguments))
    finally:
        os.chdir(before)
    return code, err.getvalue()


def check(code: int, err: str, place: Path, given_files: set[str]) -> None:
    """A result, or one line and nothing left behind."""
    assert code in (0, 2, 3), (code, err)
    assert "Traceback" not in err
    left = {path.name for path in place.iterdir()} - given_files
    if code == 2:
        assert err.startswith("dlrun: ") and err.count("\n") == 1, err
        assert not left
    assert left <= {"outputs"}


PACKED = (".csv", ".csv.gz", ".tsv", ".csv.zip", ".csv.xz", ".parquet")


@OFTEN
@given(
    header=st.lists(WORDS, min_size=1, max_size=4),
    rows=st.lists(st.lists(CELLS, min_size=1, max_size=4), max_size=40),
    quoted=st.booleans(),
)
def test_any_table(header, rows, quoted):
    import csv

    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        with open(place / "t.csv", "w", newline="", encoding="utf-8", errors="surrogateescape") as file:
            writer = csv.writer(file, quoting=csv.QUOTE_ALL if quoted else csv.QUOTE_NONE, escapechar="\\")
            with contextlib.suppress(csv.Error):
                writer.writerow([*header, "y"])
                writer.writerows(rows)
        check(*run("data=csv", "data.path=t.csv", "data.target=y", *QUICK, place=place), place, {"t.csv"})


@OFTEN
@given(
    values=st.lists(st.tuples(CELLS, st.sampled_from(["a", "b", "c", "", "1.5", "2"])), min_size=5, max_size=60),
    task=st.sampled_from(["null", "regression", "binary", "multiclass", "multilabel"]),
)
def test_any_column_and_task(values, task):
    import csv

    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        with open(place / "t.csv", "w", newline="", encoding="utf-8", errors="surrogateescape") as file:
            csv.writer(file, quoting=csv.QUOTE_ALL).writerows([("x", "y"), *values])
        check(*run("data=csv", "data.path=t.csv", "data.target=y", f"data.task={task}", *QUICK, place=place), place,
              {"t.csv"})  # fmt: skip


@OFTEN
@given(content=st.binary(max_size=300), suffix=st.sampled_from(PACKED))
def test_any_bytes_as_a_table(content, suffix):
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        (place / f"t{suffix}").write_bytes(content)
        check(*run("data=csv", f"data.path=t{suffix}", "data.target=y", *QUICK, place=place), place, {f"t{suffix}"})


@SELDOM
@given(content=st.binary(max_size=300), kind=st.sampled_from(["series", "text", "images"]))
def test_any_bytes_as_a_series_texts_or_images(content, kind):
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        if kind == "images":
            for file in ("images/a/1.png", "images/b/2.jpg"):
                (place / file).parent.mkdir(parents=True)
                (place / file).write_bytes(content)
            arguments = ["data=folder", "data.path=images"]
        else:
            (place / "t.csv").write_bytes(b"y,x\n" + content)
            arguments = [f"data={kind}", "data.path=t.csv", "data.target=y"] + ["data.text=x"] * (kind == "text")
        check(*run(*arguments, *QUICK, place=place), place, {"t.csv", "images"})


KEYS = st.sampled_from([
    "seed", "device", "threads", "precision", "data", "data.limit", "data.split", "data.split.test.fraction",
    "data.task", "data.train_rows", "model", "model.hidden", "model.activation", "model.dropout", "model._target_",
    "optimizer", "optimizer.lr", "initializer", "initializer.weights", "initializer.values", "scheduler", "loss",
    "class_weight", "penalty", "penalty.l2", "trainer", "trainer.epochs", "trainer.batch_size",
    "trainer.early_stopping", "trainer.early_stopping.patience", "trainer.checkpoint_every", "cv", "cv.folds",
    "repeats", "learning_curve", "sweep", "launcher", "sweeper", "jobs", "name", "plots", "experiment", "solver",
    "hydra.run.dir", "hydra.searchpath",
])  # fmt: skip
VALUES = st.one_of(
    st.text("[]{}(),:=$'\"\\ab1.-_ \t", max_size=12),
    WORDS,
    st.integers(-(10**12), 10**12).map(str),
    st.floats().map(str),
    st.sampled_from(["null", "true", "[]", "{}", "[1,2]", "{a: 1}", "${seed}", "${oc.env:HOME}", "???", "1e9",
                     "choice(1)", "glob(*)", "interval(0,1)", "[[]]", "{_target_: os.system}", "mlp", "cpu"]),
)  # fmt: skip


@settings(OFTEN, max_examples=15)
@given(pairs=st.lists(st.tuples(st.sampled_from(["", "", "", "+", "++", "~"]), KEYS, VALUES), min_size=1, max_size=2))
def test_any_override(pairs):
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        overrides = [f"{sign}{key}={value}" for sign, key, value in pairs]
        code, err = run("data=iris", *overrides, "dry_run=true", place=place)
        check(code, err, place, set())


@settings(OFTEN, max_examples=15)
@given(arguments=st.lists(st.one_of(WORDS, st.text("-=mhcfgjob ", max_size=8)), min_size=1, max_size=3))
def test_any_arguments(arguments):
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        code, err = run("data=iris", *arguments, "dry_run=true", place=place)
        check(code, err, place, set())


@pytest.fixture(scope="module")
def finished():
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        assert run("data=iris", "trainer.epochs=1", "trainer.keep_checkpoints=true", "quiet=true", place=place)[0] == 0
        yield next(place.rglob("metrics.json")).parent


FILES = ("metrics.json", "config.yaml", "overrides.yaml", "environment.json", "preprocessing.json",
         "preprocessing.skops", "model.safetensors", "checkpoints/last.pt", "history.csv",
         "predictions.csv")  # fmt: skip


@pytest.mark.slow
@settings(OFTEN, max_examples=12)
@given(
    file=st.sampled_from(FILES),
    content=st.one_of(st.binary(max_size=80), st.sampled_from([b"{}", b"[]", b"null", b"- 1", b"{a: {b: 1}}", b"1"])),
    keep=st.integers(0, 4000),
)
def test_any_damage_to_a_run_folder(finished, file, content, keep):
    """A file of it is cut somewhere and goes on with other bytes: whatever is done with it is done, or is one line."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        shutil.copytree(finished, place / "run")
        (place / "run" / file).write_bytes((finished / file).read_bytes()[: keep % 5 * keep // 5] + content)
        (place / "new.csv").write_text("a,b\n1,2\n")
        for arguments in (
            ["predict", "run=run", "input=new.csv"], ["eval", "run=run"], ["compare", "run"],
            ["resume=run", "trainer.epochs=2", "quiet=true"],
        ):  # fmt: skip
            code, err = run(*arguments, place=place)
            assert code in (0, 2, 3) and "Traceback" not in err, (arguments, code, err)
            assert code != 2 or err.count("\n") == 1, (arguments, err)


@SELDOM
@given(content=st.binary(max_size=200), suffix=st.sampled_from([".csv", ".npy", ".parquet", ".png", ".txt", ""]))
def test_any_bytes_to_predict_for(finished, content, suffix):
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        (place / f"new{suffix}").write_bytes(content)
        code, err = run("predict", f"run={finished}", f"input=new{suffix}", "output=said.csv", place=place)
        assert code == 2 and err.count("\n") == 1 and not (place / "said.csv").exists(), err


def test_the_run_folder_was_good_before(finished):
    assert json.loads((finished / "metrics.json").read_text())["status"] == "finished"


@pytest.mark.slow
def test_any_structure_in_a_run_folder(tmp_path):
    """A hundred of those that scripts/damage_folders.py tries: each command does its work, or says what is wrong."""
    folders = damages.make_folders(tmp_path)
    faults = []
    for seed in range(100):
        place = tmp_path / str(seed)
        place.mkdir()
        faults.append(damages.fault(random.Random(seed), folders, place))
    assert not list(filter(None, faults))


@pytest.mark.parametrize("lost", ["test", "baseline", "best_epoch", "epochs", "train_eval"])
def test_a_record_that_lost_a_figure_is_drawn_or_named(dlrun, lost):
    folder = dlrun("data=iris", "model=logistic", "plots=[]", "trainer.epochs=2").folder
    record = json.loads((folder / "metrics.json").read_text())
    (folder / "metrics.json").write_text(json.dumps({name: own for name, own in record.items() if name != lost}))
    ended = dlrun("plot", "plots=[learning_curves,confusion_matrix]")
    named = ended.exit_code == 2 and ended.err.count("\n") == 1 and lost.split("_")[0] in ended.err
    assert named == (lost in ("test", "baseline", "train_eval")) and ended.exit_code in (0, 2), ended.err
