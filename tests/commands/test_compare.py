"""`dlrun compare`: one table over any runs, ranked by validation rows, that says when a lead is noise."""

import io
import json
import statistics

import pandas as pd
import pytest

JOB = ("data=moons", "trainer.epochs=3", "quiet=true")


def table(said) -> pd.DataFrame:
    assert said.exit_code == 0, said.err
    return pd.read_csv(io.StringIO(said.out))


def test_runs_differ_in_what_differs_and_are_ranked_by_validation_rows(dlrun):
    for settings in (["optimizer.lr=0.0001"], ["optimizer.lr=0.01"], ["model=logistic"]):
        dlrun(*JOB, *settings)
    found = table(dlrun("compare", "format=csv"))
    assert found.columns[:2].tolist() == ["model", "optimizer.lr"] and "seed" not in found
    assert found["valid/loss"].is_monotonic_increasing and found["optimizer.lr"][0] == 0.01
    assert found["baseline/test/accuracy"].between(0.4, 0.6).all() and (found["parameters"] > 0).all()


def test_sweeps_and_single_runs_stand_in_one_table_and_averages_for_their_parts(dlrun):
    dlrun(*JOB)
    dlrun("-m", *JOB, "model=mlp,logistic", "repeats=2")
    found = table(dlrun("compare", "outputs", "format=csv"))
    assert sorted(found["runs"]) == [1, 2, 2]
    assert found[found["runs"] == 2]["valid/loss_deviation"].notna().all()


def test_grouping_averages_over_everything_else(dlrun):
    dlrun("-m", *JOB, "model=mlp,logistic", "seed=range(3)")
    losses = {}
    for file in dlrun("compare").outputs.rglob("model.safetensors"):
        metrics = json.loads((file.parent / "metrics.json").read_text())
        losses.setdefault(metrics["choices"]["model"], []).append(metrics["test"]["loss"])
    found = table(dlrun("compare", "group_by=model", "format=csv")).set_index("model")
    for model, values in losses.items():
        assert found["test/loss"][model] == pytest.approx(statistics.mean(values))
        assert found["test/loss_deviation"][model] == pytest.approx(statistics.stdev(values))
        assert found["runs"][model] == 3


def test_a_lead_smaller_than_the_noise_of_the_seeds_is_said_to_be_so(dlrun):
    dlrun("-m", *JOB, "model.hidden=[16],[17]", "seed=range(3)", "optimizer.lr=0.01")
    assert "neither is known to be better" in dlrun("compare", "group_by=model.hidden").out
    dlrun("-m", *JOB, "model=mlp,logistic", "seed=range(3)", "optimizer.lr=0.01", "trainer.epochs=20", "output_dir=far")
    assert "more than the noise" in dlrun("compare", "far", "group_by=model").out
    dlrun("-m", *JOB, "model=mlp,logistic", "output_dir=single")
    assert "repeats=5" in dlrun("compare", "single").out


def test_runs_are_filtered_and_sorted_as_asked(dlrun):
    dlrun("-m", *JOB, "model.hidden=[2],[4],[8],[16]", "optimizer.lr=0.02")
    every = table(dlrun("compare", "format=csv", "sort=parameters"))
    assert every["parameters"].is_monotonic_increasing
    cut = every["test/accuracy"].median()
    some = table(dlrun("compare", "format=csv", f"filter=test.accuracy>{cut} and parameters<1000"))
    assert sorted(some["parameters"]) == sorted(every[every["test/accuracy"] > cut]["parameters"])
    by_test = dlrun("compare", "sort=test.accuracy")
    assert "chosen by test rows" in by_test.out
    named = table(dlrun("compare", "format=csv", "filter=model=mlp"))
    assert len(named) == 4


def test_the_table_is_written_as_markdown_and_json_too(dlrun):
    dlrun(*JOB)
    lines = dlrun("compare", "format=markdown").out.splitlines()
    assert lines[1].replace("|", "").replace("-", "").strip() == "" and len(lines) == 3
    dlrun("compare", "format=json", "output=table.json")
    found = json.loads((dlrun("compare").outputs.parent / "table.json").read_text())
    assert found["ranked_by"] == "valid/loss" and found["runs"][0]["test/accuracy"] > 0


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["nowhere"], "nowhere"),
        (["sort=test.acuracy"], "test.accuracy"),
        (["filter=test.accuracy"], "form"),
        (["filter=test.accuracy>high"], "'high'"),
        (["filter=test.accuracy>2"], "no run has"),
        (["filter=model>mlp"], "= or !="),
        (["group_by=modl"], "model"),
        (["format=html"], "markdown"),
        (["sorted=x"], "sort"),
    ],
)
def test_what_cannot_be_compared_is_one_line(dlrun, arguments, word):
    dlrun(*JOB)
    said = dlrun("compare", *arguments)
    assert said.exit_code == 2 and said.err.count("\n") == 1 and word in said.err, said.err


def test_nothing_to_compare_is_one_line(dlrun, tmp_path):
    (tmp_path / "outputs").mkdir()
    said = dlrun("compare")
    assert said.exit_code == 2 and said.err.count("\n") == 1 and "no run" in said.err


def test_a_learning_curve_and_runs_elsewhere_can_be_compared_too(dlrun, tmp_path):
    dlrun(*JOB, "learning_curve=[0.5,1.0]")
    dlrun(*JOB, f"output_dir={tmp_path}/elsewhere")
    said = dlrun("compare", "outputs", f"{tmp_path}/elsewhere")
    assert said.exit_code == 0, said.err
    grouped = table(dlrun("compare", "outputs", "group_by=model", "format=csv"))
    assert len(grouped) == 2  # the runs on half of the rows are no repeats of those on all


def test_groups_tell_of_runs_that_did_not_finish(dlrun):
    dlrun("-m", "data=diabetes", "model=linear", "optimizer=sgd", "optimizer.lr=1e6,0.01", "trainer.epochs=20",
          "data.scale_target=false", "quiet=true")  # fmt: skip
    assert "1 of 2 did not finish" in dlrun("compare", "group_by=model").out


def test_a_group_that_is_no_name_is_one_line(dlrun):
    assert dlrun("data=iris", "trainer.epochs=1").exit_code == 0
    ended = dlrun("compare", "group_by=1000")
    assert ended.exit_code == 2 and "group_by" in ended.err and ended.err.count("\n") == 1, ended.err
