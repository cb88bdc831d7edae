"""A metric of one's own, from the docs: logged, monitored, ranked by, and shown like dlrun's own."""

import json
import math
import re

import pandas as pd
import pytest
import yaml
from conftest import run_folders
from sklearn import metrics as sklearn_metrics

from dlrun.config.groups import choices_of, config_folder
from dlrun.tasks.metric import higher_is_better

OWN = ("--config-dir", "conf")
CANCER = ("data=breast_cancer", "model=logistic", "metrics=[cost]", "trainer.epochs=6", "optimizer.lr=0.05")
STOPPING = ("trainer.early_stopping.patience=50", "trainer.early_stopping.monitor=valid/cost")


@pytest.fixture
def own(from_docs, dlrun):
    """Run dlrun where the files of the page on metrics lie."""
    from_docs("own_metric.md", "my_metrics")
    return lambda *arguments: dlrun(*OWN, *arguments)


def cost_of(predictions: pd.DataFrame, split: str) -> float:
    rows = predictions[predictions["split"] == split]
    missed = (rows["truth"] == "benign") & (rows["prediction"] == "malignant")
    alarms = (rows["truth"] == "malignant") & (rows["prediction"] == "benign")
    return float((5 * missed + alarms).mean())


def test_it_is_computed_logged_shown_and_kept(own):
    ended = own(*CANCER)
    assert ended.exit_code == 0, ended.err
    history = pd.read_csv(ended.folder / "history.csv")
    assert ended.metrics["valid"]["cost"] == pytest.approx(history["valid/cost"].iloc[-1], abs=1e-12)
    for split in ("valid", "test"):
        assert ended.metrics[split]["cost"] == pytest.approx(cost_of(ended.predictions, split), abs=1e-12)
    assert ended.metrics["baseline"]["test"]["cost"] == pytest.approx(
        (ended.predictions[ended.predictions["split"] == "test"]["truth"] == "malignant").mean()
    )
    assert re.search(r"^ cost( +\d\.\d{4}){6}", ended.out, flags=re.MULTILINE)
    assert yaml.safe_load((ended.folder / "config.yaml").read_text())["metrics"] == [
        {"name": "cost", "_target_": "my_metrics.cost", "higher_is_better": False, "missed": 5}
    ]


def test_early_stopping_keeps_the_epoch_in_which_it_was_least(own):
    ended = own(*CANCER, "trainer.epochs=12", "optimizer.lr=0.005", *STOPPING)
    history = pd.read_csv(ended.folder / "history.csv")
    assert history["valid/cost"].nunique() > 2
    assert ended.metrics["best_epoch"] == history["epoch"][history["valid/cost"].argmin()]
    assert ended.metrics["valid"]["cost"] == history["valid/cost"].min()


def test_a_sweep_that_monitors_it_puts_the_least_first_and_so_do_compare_and_report(own, dlrun, tmp_path):
    ended = own("-m", *CANCER, "optimizer.lr=0.0001,0.1", *STOPPING)
    assert ended.exit_code == 0, ended.err
    costs = [json.loads((f / "metrics.json").read_text())["valid"]["cost"] for f in run_folders(ended.outputs)]
    assert costs[0] > costs[1]
    assert "ranked by valid/cost" in ended.out and "test/cost" in ended.out
    assert re.findall(r"^ ([01])  ", ended.out, flags=re.MULTILINE) == ["1", "0"]
    assert "best: dlrun --config-dir conf data=breast_cancer" in ended.out
    table = pd.read_csv(next(ended.outputs.glob("sweeps/*/sweep.csv")))
    assert table["valid/cost"].tolist() == pytest.approx(costs)
    assert dlrun("compare", "outputs", "format=csv", "output=runs.csv").exit_code == 0
    compared = pd.read_csv(tmp_path / "runs.csv")
    assert compared["valid/cost"].tolist() == sorted(costs)
    assert {"test/cost", "baseline/test/cost"} <= set(compared)
    assert dlrun("report", "outputs").exit_code == 0
    page = (tmp_path / "report.html").read_text()
    assert re.search(r"<td>cost</td>.*class='better'", page) and "ranked by valid/cost" in page


def test_compare_and_report_know_its_direction_where_it_is_not_monitored(own, dlrun, tmp_path):
    own("-m", *CANCER, "optimizer.lr=0.0001,0.1")
    dlrun("compare", "outputs", "sort=valid.cost", "format=csv", "output=runs.csv")
    assert pd.read_csv(tmp_path / "runs.csv")["valid/cost"].is_monotonic_increasing


def test_a_search_minimises_it(own):
    ended = own("-m", *CANCER, "sweeper=random", "sweeper.trials=3", "sweeper.objective=valid/cost",
                "optimizer.lr=interval(0.0001,0.1)")  # fmt: skip
    assert ended.exit_code == 0, ended.err
    costs = [json.loads((f / "metrics.json").read_text())["valid"]["cost"] for f in run_folders(ended.outputs)]
    assert len(set(costs)) > 1
    best = re.findall(r"optimizer\.lr=(\S+)", ended.out.partition("best:")[2])[-1]
    table = pd.read_csv(next(ended.outputs.glob("sweeps/*/sweep.csv")))
    least = table["optimizer.lr"][table["valid/cost"] == min(costs)]
    assert float(best) in least.tolist()


def test_eval_resume_and_load_know_it_again(own, dlrun, tmp_path):
    ended = own(*CANCER, "trainer.keep_checkpoints=true")
    judged = own("eval", "output=figures.json")
    assert judged.exit_code == 0, judged.err
    assert json.loads((tmp_path / "figures.json").read_text())["test"]["cost"] == ended.metrics["test"]["cost"]
    longer = own("resume=latest", "trainer.epochs=8")
    assert longer.exit_code == 0, longer.err
    assert len(pd.read_csv(ended.folder / "history.csv")["valid/cost"].dropna()) == 8
    refused = dlrun("eval")
    assert refused.exit_code == 2 and "no 'cost'" in refused.err and "--config-dir" in refused.err


def test_eval_judges_a_run_by_a_metric_that_it_was_not_trained_with(own, tmp_path):
    ended = own("data=breast_cancer", "model=logistic", "trainer.epochs=2")
    judged = own("eval", "metrics=[cost,matthews]", "output=figures.json")
    assert judged.exit_code == 0, judged.err
    figures = json.loads((tmp_path / "figures.json").read_text())["test"]
    rows = ended.predictions[ended.predictions["split"] == "test"]
    assert figures["cost"] == pytest.approx(cost_of(ended.predictions, "test"))
    assert figures["matthews"] == pytest.approx(sklearn_metrics.matthews_corrcoef(rows["truth"], rows["prediction"]))


@pytest.mark.parametrize(
    ("change", "word"),
    [("metrics=[cots]", "no 'cots'"), ("metrics=cost", "metrics: a list"), ("metrics=[accuracy,cost]", "accuracy"),
     ("metrics=[{name: cost, _target_: my_metrics.cost, mised: 2}]", "did you mean 'missed'"),
     ("metrics=[{name: cost, _target_: os.system}]", "allow_targets=[os]"),
     ("metric=cost", "did you mean 'metrics'")],
)  # fmt: skip
def test_what_cannot_be_a_metric_is_one_line_and_leaves_nothing(own, change, word):
    ended = own(*CANCER, change)
    assert ended.exit_code == 2 and ended.err.count("\n") == 1 and word in ended.err, ended.err
    assert not ended.outputs.exists()


def test_a_metric_that_refuses_its_settings_costs_no_training(dlrun):
    refused = dlrun("data=iris", "model=sklearn/logistic", "metrics=[{_target_: sklearn.metrics.fbeta_score, beta: 1}]")
    assert refused.exit_code == 2 and "multiclass" in refused.err and not run_folders(refused.outputs)


def test_a_metric_that_some_predictions_do_not_have_is_null_with_the_reason(dlrun):
    settings = ("data=diabetes", "model=linear", "metrics=[mean_squared_log_error]", "data.scale_target=false")
    below_0 = "initializer.biases={_target_: torch.nn.init.constant_, val: -9}"
    ended = dlrun(*settings, "trainer.epochs=0", below_0)
    assert ended.exit_code == 0 and ended.metrics["test"]["mean_squared_log_error"] is None
    assert "less than or equal to -1" in ended.metrics["undefined"]["test"]["mean_squared_log_error"]


def test_the_direction_of_a_metric_is_that_of_its_entry_or_of_scikit_learns_name():
    entries = [{"name": "cost", "_target_": "m.cost", "higher_is_better": False}, {"_target_": "m.gain"},
               "zero_one_loss", "f1_score"]  # fmt: skip
    names = ("cost", "gain", "zero_one_loss", "f1_score", "loss", "accuracy", "rmse")
    assert [higher_is_better(name, entries) for name in names] == [False, True, False, True, False, True, False]


@pytest.mark.parametrize("data", ["iris", "breast_cancer", "diabetes"])
def test_the_metrics_of_the_group_are_numbers_of_the_data_that_they_say_they_are_for(dlrun, data):
    kind = "Quantities" if data == "diabetes" else "lasses"
    names = [name for name, line in choices_of(config_folder() / "metric").items() if kind in line.partition(":")[0]]
    ended = dlrun(f"data={data}", "model=linear" if data == "diabetes" else "model=logistic", "trainer.epochs=2",
                  f"metrics=[{','.join(names)}]")  # fmt: skip
    assert ended.exit_code == 0, ended.err
    assert names and all(math.isfinite(ended.metrics["test"][name]) for name in names)
