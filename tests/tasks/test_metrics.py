"""The metrics of a run are scikit-learn's, computed anew from predictions.csv; an undefined one is null."""

import csv
import io

import numpy as np
import pytest
import sklearn.metrics as m
import torch

from dlrun.tasks.binary import Binary
from dlrun.tasks.multiclass import Multiclass
from dlrun.tasks.predictions import Predictions
from dlrun.tasks.predictions_csv import to_csv
from dlrun.tasks.regression import Regression

QUICK = ("trainer.epochs=3",)
SPLITS = {"train_eval": "train", "valid": "valid", "test": "test"}


def rows_of(ended):
    rows = dict(list(ended.predictions.groupby("split")))
    for name, split in SPLITS.items():
        yield ended.metrics[name], rows[split]


def test_predictions_are_read_back_to_the_same_bits_whatever_the_names_and_numbers():
    names = ["plain", 'with, a comma and "quotes"', "two\nlines"]
    draw = np.random.default_rng(0)
    probability = np.vstack(
        [draw.dirichlet([0.05] * 3, 60), [[1.0, 5e-324, 0.0], [np.nan, np.inf, -0.0], [1e-7, 0.1 + 0.2, 1e16]]]
    )
    found = Predictions(draw.integers(0, 3, 63), draw.integers(0, 3, 63), probability)
    content = to_csv(Multiclass(class_names=tuple(names)), {"test": found}, {"test": np.arange(7, 70)}).decode()
    rows = list(csv.DictReader(io.StringIO(content, newline="")))
    assert [(row["row"], row["split"], row["part"]) for row in rows[:2]] == [("7", "test", ""), ("8", "test", "")]
    assert [row["truth"] for row in rows] == [names[i] for i in found.truth]
    assert [row["prediction"] for row in rows] == [names[i] for i in found.prediction]
    read = [[float(row[f"probability_{name}"]) for name in names] for row in rows]
    np.testing.assert_array_equal(np.array(read), probability)


def test_multiclass_figures_equal_scikit_learns(dlrun):
    for figures, rows in rows_of(dlrun(*QUICK)):
        truth, said = rows["truth"].astype(int), rows["prediction"].astype(int)
        probability = rows.filter(like="probability_").to_numpy()
        expected = {
            "accuracy": m.accuracy_score(truth, said),
            "precision": m.precision_score(truth, said, average="macro", zero_division=0),
            "recall": m.recall_score(truth, said, average="macro", zero_division=0),
            "f1": m.f1_score(truth, said, average="macro", zero_division=0),
            "precision_weighted": m.precision_score(truth, said, average="weighted", zero_division=0),
            "recall_weighted": m.recall_score(truth, said, average="weighted", zero_division=0),
            "f1_weighted": m.f1_score(truth, said, average="weighted", zero_division=0),
            "roc_auc": m.roc_auc_score(truth, probability, multi_class="ovr"),
            "log_loss": m.log_loss(truth, probability),
        }
        assert {name: figures[name] for name in expected} == pytest.approx(expected, abs=1e-9)
        assert figures["confusion_matrix"] == m.confusion_matrix(truth, said).tolist()
        assert figures["loss"] == pytest.approx(expected["log_loss"], abs=1e-5)


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_two_class_figures_equal_scikit_learns_and_class_1_is_positive(dlrun, task):
    for figures, rows in rows_of(dlrun("data=breast_cancer", f"data.task={task}", *QUICK)):
        truth, said = rows["truth"] == "benign", rows["prediction"] == "benign"
        score = rows["probability_benign"]
        expected = {
            "accuracy": m.accuracy_score(truth, said),
            "precision": m.precision_score(truth, said),
            "recall": m.recall_score(truth, said),
            "f1": m.f1_score(truth, said),
            "roc_auc": m.roc_auc_score(truth, score),
            "average_precision": m.average_precision_score(truth, score),
            "log_loss": m.log_loss(truth, score),
        }
        assert {name: figures[name] for name in expected} == pytest.approx(expected, abs=1e-9)


def test_regression_figures_equal_scikit_learns_in_the_targets_own_units(dlrun):
    from sklearn.datasets import load_diabetes

    ended = dlrun("data=diabetes", *QUICK)
    for figures, rows in rows_of(ended):
        truth, said = rows["truth"], rows["prediction"]
        assert truth.to_numpy() == pytest.approx(load_diabetes().target[rows["row"]], rel=1e-6)
        expected = {
            "mse": m.mean_squared_error(truth, said),
            "rmse": m.root_mean_squared_error(truth, said),
            "mae": m.mean_absolute_error(truth, said),
            "r2": m.r2_score(truth, said),
        }
        assert {name: figures[name] for name in expected} == pytest.approx(expected, rel=1e-9)


def test_multilabel_figures_are_per_label_and_macro(dlrun, tmp_path):
    from sklearn.datasets import make_multilabel_classification

    x, y = make_multilabel_classification(300, 6, n_classes=3, random_state=0)
    table = np.column_stack([x, y]).astype(int)
    np.savetxt(tmp_path / "labels.csv", table, "%d", ",", header="a,b,c,d,e,f,red,green,blue", comments="")
    ended = dlrun("data=csv", "data.path=labels.csv", "data.target=[red,green,blue]", *QUICK)
    assert ended.exit_code == 0, ended.err
    for figures, rows in rows_of(ended):
        for label in ("red", "green", "blue"):
            truth, said = rows[f"truth_{label}"], rows[f"prediction_{label}"]
            assert figures[f"recall_{label}"] == pytest.approx(m.recall_score(truth, said), abs=1e-9)
        assert figures["recall"] == pytest.approx(np.mean([figures[f"recall_{n}"] for n in ("red", "green", "blue")]))


def test_several_quantities_have_figures_each_beside_their_mean_and_can_be_monitored(dlrun, tmp_path):
    from sklearn.datasets import make_regression

    x, y = make_regression(200, 4, n_targets=2, noise=5, random_state=0)
    np.savetxt(tmp_path / "two.csv", np.column_stack([x, y]), delimiter=",", header="a,b,c,d,price,rent", comments="")
    monitor = "trainer.early_stopping.monitor=valid/mae_rent"
    job = ("data=csv", "data.path=two.csv", "data.target=[price,rent]", "trainer.epochs=8", "model.hidden=[8]", monitor)
    ended = dlrun(*job)
    assert ended.exit_code == 0, ended.err
    for figures, rows in rows_of(ended):
        for target in ("price", "rent"):
            truth, said = rows[f"truth_{target}"], rows[f"prediction_{target}"]
            assert figures[f"r2_{target}"] == pytest.approx(m.r2_score(truth, said), abs=1e-9)
            assert figures[f"rmse_{target}"] == pytest.approx(m.root_mean_squared_error(truth, said), rel=1e-9)
        assert figures["mae"] == pytest.approx((figures["mae_price"] + figures["mae_rent"]) / 2)
    history = ended.history["valid/mae_rent"]
    assert ended.metrics["best_epoch"] == history.idxmin() + 1 and "mae_rent" in ended.out


def test_baseline_is_the_majority_class_or_the_mean_of_the_training_rows(dlrun):
    ended = dlrun("data=breast_cancer", *QUICK)
    train, test = (ended.predictions.query("split == @s") for s in ("train", "test"))
    majority = train["truth"].mode()[0]
    assert ended.metrics["baseline"]["test"]["accuracy"] == pytest.approx((test["truth"] == majority).mean())
    ended = dlrun("data=diabetes", *QUICK, into="regression")
    train, test = (ended.predictions.query("split == @s") for s in ("train", "test"))
    expected = m.mean_squared_error(test["truth"], np.full(len(test), train["truth"].mean()))
    assert ended.metrics["baseline"]["test"]["mse"] == pytest.approx(expected, rel=1e-5)


def test_a_metric_of_a_split_with_one_class_is_null_with_a_reason():
    task = Binary(class_names=("no", "yes"))
    figures = task.figures(task.predictions(torch.tensor([[1.0], [-1.0]]), torch.tensor([[0.0], [0.0]])))
    assert figures.values["roc_auc"] is None and figures.undefined["roc_auc"] == "only one class among the true labels"
    assert figures.values["recall"] is None and "positive" in figures.undefined["recall"]
    assert figures.values["accuracy"] == 0.5


def test_a_class_without_rows_leaves_multiclass_roc_auc_null_with_its_name():
    task = Multiclass(class_names=("a", "b", "c"))
    figures = task.figures(task.predictions(torch.eye(3)[:2], torch.tensor([0, 1])))
    assert figures.values["roc_auc"] is None and "c" in figures.undefined["roc_auc"]
    assert figures.values["accuracy"] == 1.0


def test_scores_that_are_the_same_for_all_rows_have_the_roc_auc_of_scikit_learn():
    task = Multiclass(class_names=("a", "b", "c"))
    found = task.predictions(torch.tensor([[0.5, 2.0, 1.0]]).expand(9, -1), torch.arange(9) % 3)
    expected = m.roc_auc_score(found.truth, found.probability, multi_class="ovr")
    assert task.figures(found).values["roc_auc"] == expected


def test_r2_of_a_constant_truth_is_null_with_a_reason():
    task = Regression()
    figures = task.figures(task.predictions(torch.tensor([[1.0], [2.0]]), torch.tensor([[3.0], [3.0]])))
    assert figures.values["r2"] is None and "one value" in figures.undefined["r2"]
    assert figures.values["mse"] == pytest.approx(2.5)
