"""A DataFrame given to dlrun.run is read, trained on and refused as the same table in a file is."""

import numpy as np
import pandas as pd
import pytest

import dlrun as package
from dlrun.errors import Mistake

SETTINGS = ("model=mlp", "trainer.epochs=3", "plots=[]", "quiet=true")


@pytest.fixture
def flats() -> pd.DataFrame:
    generator = np.random.default_rng(0)
    area = generator.uniform(30, 150, 120).round(1)
    frame = pd.DataFrame({
        "area": area,
        "city": generator.choice(["Bern", "Chur"], 120),
        "built": pd.date_range("1990-01-01", periods=120, freq="40D"),
        "garden": generator.random(120) < 0.5,
        "price, CHF's": (area * 7.3 + generator.normal(0, 5, 120)).round(2),
    }, index=np.arange(120)[::-1])  # fmt: skip
    frame.loc[frame.index[5], "area"] = np.nan
    return frame


def figures(metrics: dict) -> dict:
    return {split: metrics[split] for split in ("train_eval", "valid", "test")}


def test_the_figures_are_those_of_the_same_table_in_a_file(dlrun, flats, tmp_path):
    flats.to_csv(tmp_path / "flats.csv", index=False)
    ended = dlrun("data=csv", "data.path=flats.csv", "data.target=price, CHF's", "seed=3", *SETTINGS)
    assert ended.exit_code == 0, ended.err
    judged, folder = figures(ended.metrics), str(ended.folder)
    run = package.run(*SETTINGS, "seed=3", data=flats, target="price, CHF's")
    assert figures(run.metrics) == judged and run.metrics["choices"]["data"] == "frame"
    said = package.load(str(run.folder)).predict(flats)
    expected = package.load(folder).predict(flats)
    pd.testing.assert_frame_equal(said, expected)
    assert said.index.tolist() == flats.index.tolist()


def test_parts_are_run_on_the_frame_and_another_frame_is_not_taken_for_it(dlrun, flats, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    several = ("cv.folds=3", *SETTINGS)
    first = package.run(*several, data=flats, target="price, CHF's")
    flats["price, CHF's"] *= 2
    second = package.run(*several, data=flats, target="price, CHF's")
    assert first.exit_code == second.exit_code == 0
    rmse = [run.metrics["test"]["rmse"] for run in (first, second)]
    assert rmse[1] > 1.5 * rmse[0]


def test_columns_of_the_dtype_category_are_categories_whatever_they_hold(flats, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    flats["zip"] = pd.Categorical(np.where(np.arange(120) % 2, "3000", "7000"))
    run = package.run(*SETTINGS, data=flats, target="price, CHF's")
    columns = {column.name: column for column in package.load(str(run.folder)).preprocessing.schema().columns}
    assert columns["zip"].kind == "category" and columns["zip"].categories == ("3000", "7000")
    assert columns["area"].kind == "numeric" and 30 <= columns["area"].range[0] < columns["area"].range[1] <= 150
    assert columns["built"].kind == "date" and columns["built"].range[0].startswith("199")
    assert columns["garden"].kind == "boolean" and columns["garden"].required


def test_it_refuses_what_the_command_refuses_and_what_no_frame_can_do(flats, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    target = "price, CHF's"
    wrong = {
        "no column 'prize'": lambda: package.run(*SETTINGS, data=flats, target="prize"),
        "no column 'aera'.*'area'": lambda: package.run(*SETTINGS, "data.drop=[aera]", data=flats, target=target),
        "data.target is needed": lambda: package.run(*SETTINGS, data=flats),
        "at least 2": lambda: package.run(*SETTINGS, "data.max_categories=1", data=flats, target=target),
        "is given twice": lambda: package.run("data=iris", data=flats, target=target),
        "no row": lambda: package.run(*SETTINGS, data=flats[:0], target=target),
        "list; a DataFrame": lambda: package.run(*SETTINGS, data=[1, 2], target=target),
        "stays in this process": lambda: package.run(
            *SETTINGS, "repeats=2", "launcher=joblib", data=flats, target=target
        ),
    }
    for expected, attempt in wrong.items():
        with pytest.raises(Mistake, match=expected):
            attempt()
    assert not (tmp_path / "outputs").exists()


def test_a_run_on_a_frame_predicts_on_the_command_line_and_does_not_train_or_judge_there(dlrun, flats, tmp_path):
    dlrun("--version")
    run = package.run(*SETTINGS, "trainer.keep_checkpoints=true", data=flats, target="price, CHF's")
    flats.to_csv(tmp_path / "flats.csv", index=False)
    assert dlrun("predict", "input=flats.csv", "output=out.csv").exit_code == 0
    commands = (["eval"], [f"run={run.folder}"], ["plot"], ["data=frame", "data.target=x"],
                [f"resume={run.folder}", "trainer.epochs=5"])  # fmt: skip
    for command in commands:
        ended = dlrun(*command)
        assert ended.exit_code == 2 and ended.err.count("\n") == 1 and "data=csv" in ended.err, ended.err
    other = dlrun("eval", "data=csv", "data.path=flats.csv", "data.target=price, CHF's")
    assert other.exit_code == 0, other.err
