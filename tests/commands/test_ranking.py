"""One ranking: the table of a sweep, `compare`, `list runs` and `report` agree on what is best, and by what."""

import io
import json
import os
import re
import shutil

import pandas as pd
import pytest

from dlrun.errors import Mistake
from dlrun.ranking.ranking import candidates, searched_rankings

FOLDS = ("data=iris", "cv.folds=3", "data.split.valid=null", "trainer.epochs=3")


def table(ended) -> pd.DataFrame:
    assert ended.exit_code == 0, ended.err
    return pd.read_csv(io.StringIO(ended.out))


def test_folds_without_validation_rows_are_ranked_by_the_held_out_folds_everywhere(dlrun, tmp_path):
    sweep = dlrun("-m", *FOLDS, "model=logistic,sklearn/decision_tree_classifier")
    assert "ranked by test/loss: there are no validation rows, so this is the mean over the held-out folds" in sweep.out
    assert re.search(r"best: dlrun .* model=logistic$", sweep.out, re.MULTILINE)
    losses = table(dlrun("compare", "format=csv")).set_index("model")["test/loss"]
    assert losses.index[0] == "logistic" and losses.iloc[0] < losses.iloc[1]
    assert "ranked by test/loss: there are no validation rows" in dlrun("compare").out
    listed = dlrun("list", "runs").out
    assert listed.count("test/loss") == 2 and all(f"{loss:.4f}" in listed for loss in losses)
    dlrun("report", "output=page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.index("<h2>model=logistic") < page.index("<h2>model=sklearn/decision_tree_classifier")
    assert "ranked by test/loss: there are no validation rows" in page


def test_the_mode_of_early_stopping_counts_everywhere(dlrun, tmp_path):
    mode = ("trainer.early_stopping.monitor=valid/loss", "trainer.early_stopping.mode=max")
    sweep = dlrun("-m", "data=moons", "trainer.epochs=3", "optimizer.lr=0.0001,0.05", *mode)
    assert re.search(r"best: .*optimizer.lr=0.0001", sweep.out)
    compared = table(dlrun("compare", "format=csv"))
    assert compared["valid/loss"].is_monotonic_decreasing and compared["optimizer.lr"][0] == 0.0001
    asked = table(dlrun("compare", "format=csv", "sort=valid.loss"))
    assert asked["valid/loss"].is_monotonic_decreasing
    dlrun("report", "output=page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.index("<h2>optimizer.lr=0.0001") < page.index("<h2>optimizer.lr=0.05")


def test_runs_of_several_kinds_are_ranked_by_a_figure_that_all_have_and_never_by_a_single_runs_test_rows(dlrun):
    dlrun(*FOLDS, "model=logistic")
    dlrun("data=iris", "model=logistic", "trainer.epochs=3")
    compared = dlrun("compare")
    assert "ranked by train_eval/loss: there are no validation rows that all have" in compared.out
    dlrun("data=iris", "model=logistic", "trainer.epochs=2", "output_dir=validated")
    dlrun("data=iris", "model=logistic", "trainer.epochs=2", "cv.folds=3", "output_dir=validated")
    assert "ranked by valid/loss\n" in dlrun("compare", "validated").out


def test_what_is_monitored_comes_first_and_then_its_held_out_value():
    config = {"trainer.early_stopping.monitor": "valid/accuracy", "trainer.early_stopping.mode": "min", "cv.folds": 5}
    ranked = [(ranking.name, ranking.maximizes) for ranking in candidates(config)]
    assert ranked == [
        ("valid/accuracy", False), ("valid/loss", False), ("test/accuracy", False), ("test/loss", False),
        ("train_eval/loss", False),
    ]  # fmt: skip
    assert [ranking.name for ranking in candidates({})] == ["valid/loss", "train_eval/loss"]
    assert searched_rankings(None, {"cv.folds": 5, "data.split.valid": None})[0].name == "test/loss"
    assert searched_rankings(None, {"cv.folds": 5, "data.split.valid": 0.2})[0].name == "valid/loss"
    assert searched_rankings("valid/accuracy", {})[0].maximizes


def values_of(content, path=()):
    """Every place in a JSON object, those inside the config aside but for its keys that tables read."""
    for key, value in content.items():
        yield (*path, key)
        if isinstance(value, dict) and key != "config":
            yield from values_of(value, (*path, key))
    if "config" in content:
        for key in ("trainer.early_stopping.monitor", "trainer.early_stopping.mode", "cv.folds", "seed", "name", "note",
                    "data.train_rows", "data.split_seed"):  # fmt: skip
            yield "config", key


def changed(content, path, value):
    """A copy of a JSON object with another value at a place."""
    head, *rest = path
    return {**content, head: changed(content.get(head, {}), rest, value) if rest else value}


INSTEAD = (None, "text", [1, "a"], {}, {"loss": "x"}, True, -1)


def test_no_changed_value_of_a_record_makes_a_table_crash_or_hides_the_other_runs(dlrun, tmp_path):
    dlrun("data=iris", "model=logistic", "trainer.epochs=1", "output_dir=good")
    dlrun("data=iris", "model=logistic", "trainer.epochs=1", "cv.folds=2", "output_dir=good")
    dlrun("-m", "data=iris", "model=logistic", "trainer.epochs=1", "seed=1,2", "output_dir=good")
    number = 0
    for file in sorted((tmp_path / "good").rglob("metrics.json")):
        content = json.loads(file.read_text())
        if "fold_" in str(file.parent) or file.parent.name == "1":
            continue
        for path in values_of(content):
            for value in INSTEAD:
                number += 1
                folder = tmp_path / "damaged" / str(number)
                folder.mkdir(parents=True)
                (folder / "metrics.json").write_text(json.dumps(changed(content, path, value)))
    assert number > 500
    for arguments in (["compare", "format=csv"], ["list", "runs"], ["report", "output=page.html"]):
        places = ["output_dir=damaged"] if arguments[0] == "list" else ["good", "damaged"]
        ended = dlrun(*arguments, *places)
        assert ended.exit_code == 0, ended.err[-2000:]
        lines = ended.err.splitlines()
        assert len(lines) > 100 and all(line.startswith("dlrun: left out: damaged/") for line in lines)


def damage_record(folder):
    (folder / "metrics.json").write_text('{"status": "finished", "kind": "run", "test": [1]}')


def pipe_for_history(folder):
    (folder / "history.csv").unlink()
    os.mkfifo(folder / "history.csv")


def link_for_pictures(folder):
    shutil.rmtree(folder / "plots", ignore_errors=True)
    (folder / "plots").symlink_to(folder.parent)


def text_for_history(folder):
    (folder / "history.csv").write_text("epoch,train/loss\n1,low\n2,lower\n")


@pytest.mark.parametrize("damage", [damage_record, pipe_for_history, link_for_pictures, text_for_history])
def test_a_run_that_cannot_be_read_is_named_and_the_others_are_in_the_report(dlrun, tmp_path, damage):
    first = dlrun("data=iris", "model=logistic", "trainer.epochs=2").folder
    dlrun("data=moons", "model=logistic", "trainer.epochs=2")
    damage(first)
    ended = dlrun("report", "output=page.html")
    assert ended.exit_code == 0 and ended.err.count("\n") == 1 and first.name in ended.err, ended.err
    assert "1 run in page.html" in ended.out
    assert "logistic on moons" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_a_damaged_record_is_named_and_the_others_are_compared_and_listed(dlrun):
    first = dlrun("data=iris", "model=logistic", "trainer.epochs=1").folder
    dlrun("data=moons", "model=logistic", "trainer.epochs=1")
    damage_record(first)
    for command in (["compare"], ["list", "runs"]):
        ended = dlrun(*command)
        assert ended.exit_code == 0 and "test is a list, not a table" in ended.err and ended.err.count("\n") == 1
        assert first.name not in ended.out


def test_where_no_run_can_be_read_that_is_one_line(dlrun):
    damage_record(dlrun("data=iris", "model=logistic", "trainer.epochs=1").folder)
    for command in ("compare", "report"):
        ended = dlrun(command)
        assert ended.exit_code == 2 and ended.err.count("\n") == 1 and "test is a list" in ended.err


def test_from_python_the_table_of_runs_is_a_data_frame(dlrun):
    import dlrun as package

    for rate in (0.001, 0.1):
        dlrun("data=iris", "model=logistic", "trainer.epochs=3", f"optimizer.lr={rate}")
    printed = table(dlrun("compare", "format=csv"))
    frame = package.compare("outputs")
    pd.testing.assert_frame_equal(frame.reset_index(drop=True), printed, check_dtype=False)
    assert frame.attrs["ranked_by"] == "valid/loss" and list(frame["optimizer.lr"]) == [0.1, 0.001]
    assert len(package.compare(filter="optimizer.lr>0.01")) == 1
    with pytest.raises(Mistake, match="no run has 'test.acuracy'"):
        package.compare(sort="test.acuracy")
    damage_record(next(iter(sorted(path.parent for path in dlrun("compare").outputs.rglob("metrics.json")))))
    with pytest.warns(UserWarning, match="left out"):
        assert len(package.compare()) == 1
