"""Series: windows look back only, never across the border, and persistence is their baseline."""

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics as m
from conftest import DATA
from sklearn.linear_model import LinearRegression

from dlrun.data.sources.series import windows
from dlrun.errors import Mistake

needs_load = pytest.mark.skipif(not (DATA / "poloniex_usdt_btc.json.gz").is_file(), reason="the series are not at hand")
FRAME = pd.DataFrame({"a": np.arange(10.0), "b": np.arange(10.0) * 10})


def test_a_window_is_the_lags_before_the_horizon_oldest_first():
    source = windows(FRAME, FRAME["b"], ["a", "b"], lags=3, horizon=2)
    assert source.inputs.shape == (6, 3, 2)
    assert source.inputs[0].tolist() == [[0, 0], [1, 10], [2, 20]] and source.targets[0] == 40
    assert source.row_numbers.tolist() == [4, 5, 6, 7, 8, 9] and source.naive.tolist() == [20, 30, 40, 50, 60, 70]


def test_windows_are_made_separately_on_each_side_of_a_border():
    source = windows(FRAME, FRAME["a"], ["a"], lags=2, horizon=1, test_from="6")
    train = np.setdiff1d(np.arange(len(source)), source.given["test"])
    assert source.row_numbers[train].tolist() == [2, 3, 4, 5, 6]
    assert source.row_numbers[source.given["test"]].tolist() == [8, 9]
    assert source.inputs[source.given["test"]].min() == 6


def test_too_few_steps_are_a_mistake():
    with pytest.raises(Mistake, match="more than 10 steps"):
        windows(FRAME, FRAME["a"], ["a"], lags=10, horizon=1)


@pytest.fixture
def table(tmp_path):
    rng = np.random.default_rng(0)
    t = np.arange(300)
    frame = pd.DataFrame({"hour": pd.date_range("2020-01-01", periods=300, freq="h").strftime("%Y-%m-%d %H:%M")})
    frame["demand"] = 50 + 10 * np.sin(t / 4) + rng.normal(0, 1, 300)
    frame.to_csv(tmp_path / "load.csv", index=False)
    return frame


SERIES = ("data=series", "data.path=load.csv", "data.target=demand", "data.time=hour", "data.lags=8")


def test_no_window_of_a_later_split_reaches_into_an_earlier_one(dlrun, table):
    ended = dlrun(*SERIES, "data.horizon=3", "model=linear", "trainer.epochs=1")
    steps = {split: rows["row"] for split, rows in ended.predictions.groupby("split")}
    assert steps["valid"].min() - (8 + 3 - 1) > steps["train"].max()
    assert steps["test"].min() - (8 + 3 - 1) > steps["valid"].max()
    assert "reach across the border" in ended.out


def test_the_baseline_is_the_last_value_and_the_figures_are_in_the_targets_own_units(dlrun, table):
    ended = dlrun(*SERIES, "data.horizon=3", "model=linear", "trainer.epochs=1")
    test = ended.predictions.query("split == 'test'")
    truth = table["demand"].to_numpy()
    assert test["truth"].to_numpy() == pytest.approx(truth[test["row"]])
    persistence = m.mean_squared_error(truth[test["row"]], truth[test["row"] - 3])
    assert ended.metrics["baseline"]["test"]["mse"] == pytest.approx(persistence, rel=1e-4)


def test_a_linear_forecast_is_least_squares_on_the_same_lags(dlrun, table):
    ended = dlrun(*SERIES, "model=linear", "solver=closed_form")
    truth = table["demand"].to_numpy()
    rows = {split: part["row"].to_numpy() for split, part in ended.predictions.groupby("split")}
    lags = {split: np.stack([truth[r - 8 : r] for r in steps]) for split, steps in rows.items()}
    reference = LinearRegression().fit(lags["train"], truth[rows["train"]])
    said = ended.predictions.query("split == 'test'")["prediction"]
    assert said.to_numpy() == pytest.approx(reference.predict(lags["test"]), rel=1e-6)


@pytest.mark.parametrize("model", ["mlp", "cnn", "rnn", "lstm", "gru"])
def test_every_network_that_reads_series_beats_persistence(dlrun, table, model):
    ended = dlrun(*SERIES, f"model={model}", "optimizer.lr=0.01", "trainer.epochs=40")
    assert ended.metrics["test"]["mse"] < ended.metrics["baseline"]["test"]["mse"]


def test_steps_out_of_order_or_missing_are_mistakes(dlrun, table, tmp_path):
    table.iloc[[0, 2, 1, *range(3, 300)]].to_csv(tmp_path / "load.csv", index=False)
    ended = dlrun(*SERIES)
    assert ended.exit_code == 2 and ended.err.count("\n") == 1 and "sort the file by 'hour'" in ended.err
    table.drop(index=100).to_csv(tmp_path / "load.csv", index=False)
    ended = dlrun(*SERIES)
    assert ended.exit_code == 2 and "row 100" in ended.err and "data.gaps=allow" in ended.err
    assert dlrun(*SERIES, "data.gaps=allow", "model=linear", "trainer.epochs=1").exit_code == 0


def test_missing_values_are_a_mistake(dlrun, table, tmp_path):
    table.loc[5, "demand"] = np.nan
    table.to_csv(tmp_path / "load.csv", index=False)
    ended = dlrun(*SERIES)
    assert ended.exit_code == 2 and "1 of 300 in 'demand'" in ended.err and "data.impute=" in ended.err


@needs_load
def test_the_courses_load_windows_and_their_persistence(dlrun):
    ended = dlrun("data=load", "data.split.valid=null", "model=linear", "trainer.epochs=0", "quiet=true")
    assert ended.predictions["split"].value_counts().to_dict() == {"train": 93_528, "test": 26_281}
    assert ended.metrics["baseline"]["test"]["r2"] == pytest.approx(0.932, abs=5e-4)
    shown = dlrun("data=load", "data.lags=72", "data.horizon=36", "data.split.valid=null", "dry_run=true").out
    assert "93,445 train, 26,198 test" in shown and "inputs 72×1" in shown


@needs_load
def test_the_courses_bitcoin_windows_and_their_positives(dlrun):
    ended = dlrun("data=bitcoin", "data.split.valid=null", "model=logistic", "trainer.epochs=0")
    assert "23,956 train" in ended.out and "inputs 36×4" in ended.out
    test = ended.predictions.query("split == 'test'")
    assert (test["truth"] == "rises").mean() == pytest.approx(0.527326, abs=5e-7)


def test_how_a_series_is_written_can_be_said(dlrun, tmp_path):
    rows = [f"{50 + i * 7 % 24},5;{'off' if i % 50 == 1 else i}" for i in range(200)]
    (tmp_path / "s.csv").write_text("\n".join(rows) + "\n")
    told = ("data.header=none", "data.decimal=,", "data.missing_values=[off]")
    job = ("data=series", "data.path=s.csv", "data.target=1", "data.inputs=[1,2]", "data.lags=3", "model=linear")
    ended = dlrun(*job, *told, "data.impute=interpolate")
    assert ended.exit_code == 0, ended.err
    assert set(ended.predictions["truth"]) <= {50.5 + i for i in range(24)}
    assert "missing or infinite values: 4 of 200 in '2', filled in" in ended.out
