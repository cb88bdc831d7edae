"""Times of a series as other people write them: their step is found, gaps are refused, and what was read is said."""

import numpy as np
import pandas as pd
import pytest
from conftest import run_folders
from sklearn.linear_model import LinearRegression

from dlrun.data.sources.series import csv
from dlrun.errors import Mistake
from dlrun.runs.load import load

GERMAN = "Europe/Berlin"


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write a table with the times `when`, a wave `y` and further columns; returns the arguments to read it."""
    monkeypatch.chdir(tmp_path)

    def file(when, name="series.csv", **columns):
        frame = pd.DataFrame({"when": when, "y": np.sin(np.arange(len(when)) / 3), **columns})
        frame.to_parquet(name) if name.endswith("parquet") else frame.to_csv(name, index=False)
        return {"path": name, "target": "y", "lags": 3}

    return file


def said(source) -> str:
    return next(note for note in source.notes if note.startswith("times: "))


CALENDARS = {
    "months": ("MS", "1 month"),
    "month-ends": ("ME", "1 month, at its end"),
    "business month-ends": ("BME", "1 month, on its last weekday"),
    "quarter-ends": ("QE", "3 months, at its end"),
    "years": ("YS", "1 year"),
    "year-ends": ("YE", "1 year, at its end"),
    "weekdays": ("B", "1 weekday (Mon, Tue, Wed, Thu, Fri)"),
    "weeks": ("W", "7 days"),
    "half hours": ("30min", "30 minutes"),
}


@pytest.mark.parametrize("name", CALENDARS)
def test_every_calendar_has_a_step_of_its_own_and_a_gap_in_it_is_refused(write, name):
    frequency, step = CALENDARS[name]
    times = pd.date_range("1990-01-01", periods=60, freq=frequency)
    read = write(times.strftime("%Y-%m-%d %H:%M"))
    assert said(csv(**read, time="when")).endswith(f"steps of {step}")
    write(times.delete([30, 31]).strftime("%Y-%m-%d %H:%M"))
    with pytest.raises(Mistake, match=r"1 of 57 steps are not .*before row 30.*data\.gaps=allow"):
        csv(**read, time="when")
    allowed = csv(**read, time="when", gaps="allow")
    assert any(note.startswith("1 of 57 steps are not") for note in allowed.notes)


FORMATS = ["%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d/%m/%y", "%b %d, %Y", "%d-%b-%Y", "%d-%b-%y", "%Y%m%d", "%Y/%m/%d",
           "%d/%m/%Y %H:%M", "%m/%d/%Y %I:%M:%S %p", "%Y-%m-%dT%H:%M:%S.%fZ",
           "%Y-%m-%d %H:%M:%S UTC", "%-d.%-m.%Y", "%Y-%-m-%-d", "%a, %d %b %Y"]  # fmt: skip


@pytest.mark.parametrize("written", FORMATS)
def test_dates_are_read_as_they_are_written(write, written):
    times = pd.date_range("2019-01-01", periods=100, freq="D")
    source = csv(**write(times.strftime(written)), time="when")
    assert (source.times == times[3:].to_numpy()).all()
    assert said(source).endswith("steps of 1 day")


@pytest.mark.parametrize(("written", "months"), [("%Y-%m", 1), ("%Y%m", 1), ("%b-%y", 1), ("%m/%Y", 1), ("quarter", 3)])
def test_months_and_quarters_are_read_as_they_are_written(write, written, months):
    times = pd.date_range("1990-01-01", periods=40, freq=f"{months}MS")
    texts = times.strftime(written) if "%" in written else [f"{t.year}Q{t.quarter}" for t in times]
    source = csv(**write(texts), time="when")
    assert (source.times == times[3:].to_numpy()).all() and f"steps of {months} month" in said(source)


def test_weeks_and_far_years_are_read(write):
    weeks = pd.date_range("2010-01-04", periods=60, freq="7D")
    source = csv(**write([f"{t.isocalendar().year}-W{t.isocalendar().week:02}" for t in weeks]), time="when")
    assert (source.times == weeks[3:].to_numpy()).all() and said(source).endswith("steps of 7 days")
    assert said(csv(**write([f"{year}-01-01" for year in range(1500, 1560)]), time="when")).endswith("steps of 1 year")


@pytest.mark.parametrize("frequency", ["MS", "D"])
@pytest.mark.parametrize("written", ["%d/%m/%Y", "%m/%d/%Y"])
def test_of_day_and_month_that_order_is_taken_in_which_the_series_has_no_gaps(write, frequency, written):
    times = pd.date_range("2010-01-01", periods=36, freq=frequency)
    source = csv(**write(times.strftime(written)), time="when", test_from=times[24].strftime(written))
    assert (source.times[:20] == times[3:23].to_numpy()).all()
    assert f"read as {written} (data.dates)" in said(source)
    assert f"test rows: from {times[24]:%Y-%m-%d} on (data.test_from)" in source.notes
    assert source.row_numbers[source.given["test"]].min() == 27


def test_dates_that_fit_two_orders_say_so_and_can_be_set(write):
    read = write(pd.date_range("2020-02-01", periods=12).strftime("%d/%m/%Y"))
    assert "%m/%d/%Y, though %d/%m/%Y would fit as well" in said(csv(**read, time="when"))
    told = csv(**read, time="when", dates={"when": "%d/%m/%Y"})
    assert said(told).endswith("read as %d/%m/%Y (data.dates), steps of 1 day")
    mistakes = (
        ({"when": "%d.%m.%Y"}, r"row 0 of column 'when' \('01/02/2020'\) is not written as"),
        ({"when": "%Q"}, "no way to write a date"),
        ({"wen": "%d"}, "did you mean 'when'"),
    )
    for dates, line in mistakes:
        with pytest.raises(Mistake, match=line):
            csv(**read, time="when", dates=dates)


def test_one_time_that_is_none_is_named_with_its_row(write):
    texts = pd.Series(pd.date_range("2020-01-01", periods=50).strftime("%Y-%m-%d"))
    for odd, line in (("soon", r"1 rows of column 'when' are not written as the others.*row 17 \('soon'\)"),
                      ("", "column 'when' is empty in 1 rows, the first of them row 17")):  # fmt: skip
        texts[17] = odd
        with pytest.raises(Mistake, match=line):
            csv(**write(texts), time="when")


@pytest.mark.parametrize(("day", "hours"), [("2020-10-24", 60), ("2020-03-28", 60)])
def test_the_hour_that_clocks_repeat_or_leave_out_is_no_gap_where_the_zone_is_known(write, day, hours):
    local = pd.date_range(day, periods=hours, freq="h", tz=GERMAN)
    moments = local.tz_convert("UTC").tz_localize(None)
    for written in (local.strftime("%Y-%m-%d %H:%M%z"), [t.isoformat() for t in local],
                    local.tz_convert("UTC").strftime("%Y-%m-%dT%H:%MZ")):  # fmt: skip
        source = csv(**write(written), time="when")
        assert (source.times == moments[3:].to_numpy()).all()
    typed = csv(**write(local, "series.parquet"), time="when")
    assert (typed.times == moments[3:].to_numpy()).all() and "in UTC" in said(typed)
    read = write(local.tz_localize(None).strftime("%Y-%m-%d %H:%M"))
    with pytest.raises(Mistake, match=r"clocks that are put (back|forward).*data\.timezone=Europe/Berlin"):
        csv(**read, time="when")
    assert (csv(**read, time="when", timezone=GERMAN).times == moments[3:].to_numpy()).all()
    with pytest.raises(Mistake, match=r"data\.timezone: 'Europe/Berln'"):
        csv(**read, time="when", timezone="Europe/Berln")


def test_local_days_of_23_and_25_hours_are_days(write):
    days = pd.date_range("2020-03-01", periods=250, tz=GERMAN)
    source = csv(**write([t.isoformat() for t in days]), time="when")
    assert said(source).endswith("in UTC, steps of 1 day")


def test_a_row_that_stands_twice_is_no_reason_to_sort_the_file(write):
    times = list(pd.date_range("2023-01-10", periods=60, freq="h").strftime("%Y-%m-%d %H:%M"))
    with pytest.raises(Mistake) as refused:
        csv(**write([*times[:12], times[11], *times[12:]]), time="when")
    assert "row 12 (2023-01-10 11:00:00) is of the same time" in str(refused.value)
    assert "sort" not in str(refused.value) and "timezone" not in str(refused.value)


@pytest.mark.parametrize(
    "clocks",
    [
        lambda t: t.hour,
        lambda t: t.strftime("%H:%M"),
        lambda t: t.strftime("%I:%M %p"),
        lambda t: t.strftime("%H.%M.%S"),
        lambda t: t.hour * 100,
    ],
)
def test_a_date_and_a_time_column_make_a_time(write, clocks):
    times = pd.date_range("2020-03-01", periods=240, freq="h")
    read = write(times.strftime("%d/%m/%Y"), hour=clocks(times))
    source = csv(**read, time=["when", "hour"])
    assert (source.times == times[3:].to_numpy()).all() and "steps of 1 hour" in said(source)


def test_hours_from_1_to_24_are_those_that_end_then_and_are_noticed(write):
    times = pd.date_range("2020-03-01", periods=240, freq="h")
    read = write(times.strftime("%Y-%m-%d"), hour=times.hour + 1)
    with pytest.raises(Mistake, match=r"data\.time=\[when,hour\] reads both"):
        csv(**read, time="when")
    source = csv(**read, time=["when", "hour"])
    assert (source.times == times[3:].to_numpy() + np.timedelta64(1, "h")).all()


def test_year_month_day_and_hour_make_a_time(write):
    times = pd.date_range("2020-03-01", periods=240, freq="h")
    read = write(times.year, month=times.month, day=times.day, hour=times.hour)
    pd.read_csv(read["path"]).rename(columns={"when": "year"}).to_csv(read["path"], index=False)
    with pytest.raises(Mistake, match=r"data\.time=\[year,month,day,hour\] reads all"):
        csv(**read, time=["year", "month"])
    source = csv(**read, time=["year", "month", "day", "hour"])
    assert (source.times == times[3:].to_numpy()).all()


def panel(stores, days, order="stacked") -> pd.DataFrame:
    frame = pd.DataFrame([(s, d, i % 7 + len(str(s))) for s in stores for i, d in enumerate(days)],
                         columns=["store", "when", "y"])  # fmt: skip
    return frame if order == "stacked" else frame.sort_values("when", kind="stable")


@pytest.mark.parametrize("stores", [("a", "bb", "ccc"), (3, 17, 200)])
@pytest.mark.parametrize("order", ["stacked", "woven"])
def test_several_series_in_one_file_are_refused_with_the_key_that_takes_one(dlrun, tmp_path, stores, order):
    days = pd.date_range("2022-01-01", periods=90).strftime("%Y-%m-%d")
    frame = panel(stores, days, order)
    frame.to_csv(tmp_path / "panel.csv", index=False)
    own = ("data=series", "data.path=panel.csv", "data.target=y", "data.lags=5", "model=linear", "trainer.epochs=0")
    refused = dlrun(*own, "data.time=when")
    assert refused.exit_code == 2 and refused.err.count("\n") == 1, refused.err
    assert "the same times occur for each 'store' (3: " in refused.err and "data.group={store: " in refused.err
    untimed = dlrun(*own)
    assert untimed.exit_code == 2 and "several series in one file" in untimed.err
    taken = dlrun(*own, "data.time=when", f"data.group={{store: {stores[1]}}}")
    assert taken.exit_code == 0, taken.err
    assert f"series: 90 of 270 rows, 'store' is {stores[1]} (data.group)" in taken.out
    assert set(taken.predictions["truth"]) <= set(frame.loc[frame["store"] == stores[1], "y"])


def test_series_told_apart_by_two_columns_or_that_follow_each_other_are_noticed(write):
    days = pd.date_range("2022-01-01", periods=60).strftime("%Y-%m-%d")
    pairs = pd.concat([panel(("a", "b"), days).assign(item=item) for item in ("x", "y")])
    pairs.to_csv("series.csv", index=False)
    with pytest.raises(Mistake, match="for each 'store' and 'item'"):
        csv("series.csv", "y", time="when")
    assert len(csv("series.csv", "y", time="when", lags=3, group={"store": "a", "item": "y"})) == 57
    follow = pd.concat([panel(("a",), days[30:]), panel(("b",), days[:30])])
    follow.to_csv("series.csv", index=False)
    with pytest.raises(Mistake, match="the times begin anew with each 'store'"):
        csv("series.csv", "y", time="when")


def test_blocks_without_times_are_one_series_where_a_person_says_so(write):
    read = write(np.repeat(["spring", "summer"], 30))
    with pytest.raises(Mistake, match=r"column 'when' divides the rows into blocks.*data\.group=none"):
        csv(**read)
    source = csv(**read, group="none")
    assert len(source) == 57 and "columns that are not read: when (data.inputs)" in source.notes


@pytest.mark.parametrize(
    ("impute", "expected"), [("interpolate", [2, 3, 4]), ("forward", [2, 2, 2]), ("zero", [2, 0, 0])]
)
def test_missing_values_are_filled_in_as_told_and_counted(tmp_path, impute, expected):
    values = [0.0, 1, 2, None, np.inf, 5, 6, 7, 8, None]
    pd.DataFrame({"y": values}).to_csv(tmp_path / "gaps.csv", index=False)
    source = csv(str(tmp_path / "gaps.csv"), "y", lags=3, impute=impute)
    assert "missing or infinite values: 3 of 10 in 'y', filled in (data.impute=" + impute + ")" in source.notes
    assert source.inputs[source.row_numbers.tolist().index(5)].ravel().tolist() == expected
    assert source.targets.tolist() == [5, 6, 7, 8]  # what was filled in is no truth
    ends = {"interpolate": 3 - 1, "forward": 3, "zero": 3}[impute]
    assert f"windows whose target was filled in: {ends} of {4 + ends}, left out" in source.notes
    with pytest.raises(Mistake, match="3 of 10 in 'y'; the first in row 3"):
        csv(str(tmp_path / "gaps.csv"), "y", lags=3)
    with pytest.raises(Mistake, match=r"data\.impute: 'mean'"):
        csv(str(tmp_path / "gaps.csv"), "y", lags=3, impute="mean")


@pytest.fixture
def trained(dlrun, tmp_path):
    """A linear forecast from six hours, exact on its series; and the function that writes new rows."""
    wave = 50 + 10 * np.sin(np.arange(400) / 4)
    times = pd.date_range("2023-01-01", periods=400, freq="h")
    frame = pd.DataFrame({"when": times.strftime("%Y-%m-%d %H:%M"), "y": wave})
    frame.iloc[:300].to_csv(tmp_path / "load.csv", index=False)
    ended = dlrun("data=series", "data.path=load.csv", "data.target=y", "data.time=when", "data.lags=6",
                  "model=linear", "solver=closed_form")  # fmt: skip
    assert ended.exit_code == 0, ended.err
    lags = np.lib.stride_tricks.sliding_window_view(wave, 6)[:-1]
    reference = LinearRegression().fit(lags[:200], wave[6:206])

    def predict(rows: pd.DataFrame):
        rows.to_csv(tmp_path / "new.csv", index=False)
        return dlrun("predict", f"run={ended.folder}", "input=new.csv", "output=said.csv")

    return frame.iloc[300:330], predict, lambda values: reference.predict(np.reshape(values, (-1, 6)))


def test_predict_turns_newest_first_rows_round_and_says_so(trained, tmp_path):
    new, predict, reference = trained
    ended = predict(new.iloc[::-1])
    assert ended.exit_code == 0 and ended.err.count("\n") == 1
    assert "stand newest first by 'when': all 30 were turned round" in ended.err
    found = pd.read_csv(tmp_path / "said.csv")
    assert found["when"].tolist() == new["when"].tolist()[5:]
    expected = reference(np.lib.stride_tricks.sliding_window_view(new["y"].to_numpy(), 6))
    assert found["prediction"].to_numpy() == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda rows: rows.drop(rows.index[12]), "1 of 28 steps are not 1 hour, the first before row 12"),
        (lambda rows: rows.iloc[::2], "14 of 14 steps are not 1 hour"),
        (lambda rows: rows.sample(frac=1, random_state=0), "sort the file by 'when'"),
        (lambda rows: pd.concat([rows, rows.iloc[-1:]]), "leave out what stands twice"),
        (lambda rows: rows.assign(y=rows["y"].mask(rows.index == 305)), "1 of 30 in 'y'; the first in row 5"),
        (lambda rows: rows.assign(when=rows["when"].str.replace("2023-01-13", "13/01/2023")), "is not written as"),
    ],
)
def test_predict_refuses_what_training_refuses(trained, change, line):
    new, predict, _ = trained
    ended = predict(change(new))
    assert ended.exit_code == 2 and ended.err.count("\n") == 1 and line in ended.err, ended.err
    assert "data.gaps=" not in ended.err and "data.impute=" not in ended.err


def test_predict_without_the_time_column_says_what_it_takes_for_granted(trained, tmp_path):
    new, predict, _ = trained
    ended = predict(new[["y"]])
    assert ended.exit_code == 0 and "there is no column 'when' with times" in ended.err
    assert len(pd.read_csv(tmp_path / "said.csv")) == 25


def test_from_python_a_forecast_goes_by_the_last_row_of_its_window(trained, tmp_path):
    new, predict, _ = trained
    predict(new)
    loaded = load(str(run_folders(tmp_path / "outputs")[0]), "cpu")
    found = loaded.predict(new)
    assert found.index.tolist() == new.index.tolist()[5:]
    assert found["prediction"].to_numpy() == pytest.approx(pd.read_csv(tmp_path / "said.csv")["prediction"], abs=1e-9)
    with pytest.raises(Mistake, match="newest first"):
        loaded.predict(new.iloc[::-1])


def test_eval_refuses_rows_of_another_step(trained, dlrun, tmp_path):
    new, predict, _ = trained
    run = run_folders(tmp_path / "outputs")[0]
    new.to_csv(tmp_path / "hours.csv", index=False)
    alike = dlrun("eval", f"run={run}", "data.path=hours.csv")
    assert alike.exit_code == 0, alike.err
    days = pd.date_range("2024-01-01", periods=len(new), freq="D").strftime("%Y-%m-%d %H:%M")
    new.assign(when=days).to_csv(tmp_path / "days.csv", index=False)
    ended = dlrun("eval", f"run={run}", "data.path=days.csv")
    assert ended.exit_code == 2 and ended.err.count("\n") == 1
    assert "steps of 1 day, and the run was trained on steps of 1 hour" in ended.err


def test_predict_reads_the_file_of_training_with_its_decimal_commas_and_markers(dlrun, tmp_path):
    wave = 50 + 10 * np.sin(np.arange(80) / 4)
    written = [f"{value:.3f}".replace(".", ",") for value in wave]
    written[40] = "-999"
    (tmp_path / "comma.csv").write_text("nr;y\n" + "".join(f"{i};{y}\n" for i, y in enumerate(written)))
    ended = dlrun("data=series", "data.path=comma.csv", "data.target=y", "data.lags=6", "data.missing_values=[-999]",
                  "data.impute=interpolate", "model=linear", "solver=closed_form")  # fmt: skip
    assert ended.exit_code == 0, ended.err
    said = dlrun("predict", "run=latest", "input=comma.csv", "output=said.csv")
    assert said.exit_code == 0 and "1 of 80 in 'y', filled in" in said.err, said.err
    found = pd.read_csv(tmp_path / "said.csv")
    assert found["y"].iloc[0] == written[5]
    assert found["prediction"].iloc[:-1].to_numpy() == pytest.approx(wave[6:], abs=0.4)
