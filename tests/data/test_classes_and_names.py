"""Labels of several files, tags, categories that are put together, and columns with any name in any key."""

import json
import shlex

import numpy as np
import pandas as pd
import pytest

from dlrun.config.grammar import hint
from dlrun.data.sources.tabular import csv
from dlrun.errors import Mistake

NAMES = ["T (degC)", "Weight[kg]", "class:kind", "a,b", "50%", "Größe", "a=b", "it's", "x{1}", "a.b", "#", "y/n",
         "null", "1", "007", "1e5", "true", "yes", "Income, net", "o'brien", 'say "x"']  # fmt: skip
QUICK = ("data=csv", "data.path=t.csv", "model=logistic", "trainer.epochs=1")


def labels(n: int, ending: str = "") -> list[str]:
    return [("high" if i % 3 else "low") + ending for i in range(n)]


def write(path, n: int, y: list, seed: int = 0) -> str:
    pd.DataFrame({"x": np.random.default_rng(seed).normal(size=n), "y": y}).to_csv(path, index=False)
    return str(path)


def test_blanks_around_labels_and_categories_are_no_part_of_them(tmp_path):
    rows = "".join(f"{i % 7}.5,{['red', 'red ', ' blue'][i % 3]},{['a', 'a ', 'b'][i % 3]}\n" for i in range(30))
    (tmp_path / "t.csv").write_text("x,colour,y\n" + rows)
    source = csv(str(tmp_path / "t.csv"), "y")
    assert set(source.targets) == {"a", "b"} and set(source.inputs["colour"]) == {"red", "blue"}


def test_test_rows_whose_labels_are_all_written_differently_are_a_mistake(tmp_path):
    train, test = write(tmp_path / "a.csv", 40, labels(40)), write(tmp_path / "b.csv", 20, labels(20, "."), 1)
    with pytest.raises(Mistake, match=r"data.path_test: none of its classes \('high.', 'low.'\) .*'high', 'low'"):
        csv(train, "y", path_test=test)


def test_test_rows_of_a_class_that_no_training_row_has_are_counted(dlrun, tmp_path):
    write(tmp_path / "t.csv", 40, labels(40))
    write(tmp_path / "b.csv", 20, ["new"] * 3 + labels(17), 1)
    ended = dlrun(*QUICK, "data.target=y", "data.path_test=b.csv")
    assert ended.exit_code == 0, ended.err
    assert "no training row is of the class 'new' (3 of 20 test rows are)" in ended.out


def test_a_class_with_one_row_is_named_once_with_one_remedy_for_all_splits(dlrun, tmp_path):
    write(tmp_path / "t.csv", 60, ["other", *labels(59)])
    ended = dlrun(*QUICK, "data.target=y")
    assert ended.exit_code == 2 and "class 'other' has one row" in ended.err and ended.err.count("\n") == 1
    remedy = ("data.split.test.stratify=false", "data.split.valid.stratify=false")
    assert " ".join(remedy) in ended.err and "regression" not in ended.err
    assert dlrun(*QUICK, "data.target=y", *remedy).exit_code == 0
    assert dlrun(*QUICK, "data.target=y", "data.classes=[high, low]").exit_code == 0


def test_a_class_of_two_rows_can_be_divided(dlrun, tmp_path):
    write(tmp_path / "t.csv", 60, ["other", "other", *labels(58)])
    for seed in range(3):
        assert dlrun(*QUICK, "data.target=y", f"data.split_seed={seed}", "data.split.test.fraction=0.4").exit_code == 0


def test_tags_in_one_column_are_labels_and_rows_without_a_tag_are_rows(tmp_path):
    tags = ["action", "action|drama", "comedy | action", "", "drama"] * 12
    write(tmp_path / "t.csv", 60, tags)
    source = csv(str(tmp_path / "t.csv"), "y")
    assert source.target_names == ["action", "comedy", "drama"] and len(source) == 60
    assert source.targets[:5].tolist() == [[1, 0, 0], [1, 0, 1], [1, 1, 0], [0, 0, 0], [0, 0, 1]]
    assert any("3 tags divided by '|'" in note and "12 rows have none" in note for note in source.notes)
    assert csv(str(tmp_path / "t.csv"), "y", target_separator="none").targets.ndim == 1
    write(tmp_path / "t.csv", 60, [tag.replace("|", "/") for tag in tags])
    assert csv(str(tmp_path / "t.csv"), "y", target_separator="/").targets.tolist() == source.targets.tolist()


def test_several_targets_of_yes_and_no_are_labels(tmp_path):
    frame = pd.DataFrame({"x": range(40), "a": ["yes", "no"] * 20, "b": ["no", "no", "yes", "yes"] * 10})
    frame.assign(x=frame["x"] * 7 % 13).to_csv(tmp_path / "t.csv", index=False)
    source = csv(str(tmp_path / "t.csv"), ["a", "b"])
    assert source.targets[:3].tolist() == [[1, 0], [0, 0], [1, 1]]


def test_categories_with_rows_enough_are_kept_apart_and_merged_ones_are_counted(dlrun, tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"user": [f"u{i}" for i in np.arange(1200) % 60], "z": rng.normal(size=1200)})
    frame.assign(y=rng.normal(size=1200)).to_csv(tmp_path / "t.csv", index=False)
    settings = ("data=csv", "data.path=t.csv", "data.target=y", "model=linear", "trainer.epochs=1")
    ended = dlrun(*settings)
    assert "put together" not in ended.out
    merged = dlrun(*settings, "data.max_categories=11", "output_dir=merged")
    assert "column 'user': the 50 rarest of 60 categories, in " in merged.out and "max_categories=61" in merged.out
    described = json.loads((ended.folder / "preprocessing.json").read_text())
    assert len(described["inputs"]["features"]) == 61


@pytest.mark.parametrize("name", NAMES)
def test_every_column_can_be_named_in_every_key_as_the_hint_prints_it(dlrun, tmp_path, name):
    rng = np.random.default_rng(0)
    pd.DataFrame({name: rng.normal(size=40), "other": rng.normal(size=40), "k": rng.normal(size=40)}).to_csv(
        tmp_path / "t.csv", index=False
    )
    base = ("data=csv", "data.path=t.csv", "dry_run=true", "model=linear")
    for key, value in (("data.columns", {name: "ignore"}), ("data.drop", [name])):
        ended = dlrun(*base, "data.target=k", shlex.split(hint(key, value))[0])
        assert ended.exit_code == 0 and "numeric columns: other\n" in ended.out, (ended.out, ended.err)
    ended = dlrun(*base, shlex.split(hint("data.target", name))[0])
    assert ended.exit_code == 0 and "numeric columns: other, k\n" in ended.out, ended.err


@pytest.mark.parametrize(
    "override", ["data.columns={T (degC): ignore}", "data.drop=[T (degC)]", "data.drop=['T (degC)']"]
)
def test_names_need_no_quotes_of_their_own(dlrun, tmp_path, override):
    pd.DataFrame({"T (degC)": range(40), "x": np.arange(40) % 7, "y": np.arange(40) * 0.5}).to_csv(
        tmp_path / "t.csv", index=False
    )
    ended = dlrun("data=csv", "data.path=t.csv", "data.target=y", "dry_run=true", "model=linear", override)
    assert ended.exit_code == 0 and "numeric columns: x\n" in ended.out, ended.err
