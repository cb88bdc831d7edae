"""`dlrun eval`: the saved model has the figures of its run, to the digit, and can be judged by other data."""

import json

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics as m
from conftest import DATA

needs_load = pytest.mark.skipif(not (DATA / "sms_spam.csv").is_file(), reason="the courses' data are not at hand")


@pytest.fixture
def flats(tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"area": rng.normal(80, 20, 500), "city": rng.choice(["Bern", "Chur"], 500)})
    frame["price"] = 3 * frame["area"] + 50 * (frame["city"] == "Bern") + rng.normal(0, 5, 500)
    frame["dear"] = np.where(frame["price"] > 270, "yes", "no")
    frame[:400].to_csv(tmp_path / "flats.csv", index=False)
    frame[400:].to_csv(tmp_path / "others.csv", index=False)
    return frame


FLATS = ("data=csv", "data.path=flats.csv", "trainer.epochs=5")


def figures(dlrun, *arguments) -> dict:
    said = dlrun("eval", "output=figures.json", *arguments)
    assert said.exit_code == 0, said.err
    return json.loads((said.outputs.parent / "figures.json").read_text())


@pytest.mark.parametrize(
    "job",
    [
        ["data=digits", "model=cnn", "trainer.epochs=2"],
        ["data=iris", "model=sklearn/random_forest_classifier"],
        ["data=diabetes", "model=linear", "trainer.epochs=3"],
        ["data=moons", "class_weight=balanced", "trainer.epochs=2", "precision=fp64"],
        ["data=gates", "model=mlp", "trainer.epochs=2"],
        pytest.param(["data=load", "data.limit=3000", "model=gru", "trainer.epochs=1"], marks=needs_load),
        pytest.param(["data=sms_spam", "model=logistic", "trainer.epochs=1"], marks=needs_load),
        pytest.param(["data=names", "data.limit=9000", "model=lstm", "trainer.epochs=1"], marks=needs_load),
    ],
)
def test_its_own_rows_give_the_figures_of_the_run_to_the_digit(dlrun, job):
    ended = dlrun(*job)
    found = figures(dlrun)
    for split in ("train_eval", "valid", "test", "baseline", "undefined"):
        assert found.get(split) == ended.metrics.get(split)


def test_other_data_are_judged_through_the_runs_own_preprocessing(dlrun, flats):
    dlrun(*FLATS, "data.target=price", "data.drop=[dear]", "model=linear")
    found = figures(dlrun, "data.path=others.csv")
    dlrun("predict", "input=others.csv", "output=said.csv")
    truth, said = flats["price"][400:], pd.read_csv("said.csv")["prediction"]
    assert found["test"]["mae"] == pytest.approx(m.mean_absolute_error(truth, said))
    assert found["test"]["r2"] == pytest.approx(m.r2_score(truth, said))
    assert set(found) == {"test", "baseline", "undefined"}


def test_the_baseline_of_other_data_is_what_the_training_rows_gave(dlrun, flats):
    ended = dlrun(*FLATS, "data.target=price", "data.drop=[dear]", "model=linear")
    mean = ended.predictions.query("split == 'train'")["truth"].mean()
    found = figures(dlrun, "data.path=others.csv")
    truth = flats["price"][400:]
    assert found["baseline"]["test"]["mae"] == pytest.approx(np.abs(truth - mean).mean())


def test_another_threshold_and_other_metrics(dlrun, flats):
    dlrun(*FLATS, "data.target=dear", "data.drop=[price]", "model=logistic")
    found = figures(dlrun, "data.path=others.csv", "threshold=0.7", "metrics=[balanced_accuracy_score]")
    dlrun("predict", "input=others.csv", "output=said.csv")
    truth, said = flats["dear"][400:] == "yes", pd.read_csv("said.csv")["probability_yes"] > 0.7
    assert found["test"]["recall"] == pytest.approx(m.recall_score(truth, said))
    assert found["test"]["balanced_accuracy_score"] == pytest.approx(m.balanced_accuracy_score(truth, said))


def test_data_that_have_changed_are_a_mistake(dlrun, flats, tmp_path):
    dlrun(*FLATS, "data.target=price")
    flats[:300].to_csv(tmp_path / "flats.csv", index=False)
    said = dlrun("eval")
    assert said.exit_code == 2 and said.err.count("\n") == 1 and "have changed" in said.err


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["threshold=1.5"], "threshold"),
        (["metrics=[acuracy_score]"], "accuracy_score"),
        (["model=mlp"], "data.path=…"),
        (["data.split_seed=3"], "of no split"),
        (["metrics=[roc_auc_score]"], "judges probabilities"),
        (["data.path=none.csv"], "none.csv"),
        (["data.path=strange.csv"], "'maybe'"),
        (["run=nowhere"], "nowhere"),
        (["threshold=high"], "threshold"),
    ],
)
def test_what_cannot_be_evaluated_is_one_line(dlrun, flats, tmp_path, arguments, word):
    dlrun(*FLATS, "data.target=dear", "data.drop=[price]", "model=logistic")
    flats.assign(dear="maybe").to_csv(tmp_path / "strange.csv", index=False)
    said = dlrun("eval", *arguments)
    assert said.exit_code == 2 and said.err.count("\n") == 1 and word in said.err, said.err


def test_other_data_are_judged_alone_whatever_files_stood_beside_the_runs_own(dlrun, flats):
    dlrun(*FLATS, "data.path_test=others.csv", "data.target=price", "data.drop=[dear]", "model=linear")
    flats[300:350].to_csv("few.csv", index=False)
    said = dlrun("eval", "data.path=few.csv")
    assert said.exit_code == 0 and "50 test" in said.out, said.err + said.out


def test_a_run_of_ones_own_parts_is_evaluated_with_their_folder(dlrun, tmp_path):
    (tmp_path / "conf" / "model").mkdir(parents=True)
    (tmp_path / "conf" / "model" / "own.yaml").write_text("# own\n_target_: dlrun.models.mlp.MLP\nhidden: [3]\n")
    dlrun("--config-dir", "conf", "model=own", "data=iris", "trainer.epochs=1")
    assert dlrun("--config-dir", "conf", "eval").exit_code == 0
    assert dlrun("eval", "-m").exit_code == 2


@pytest.fixture
def flowers(tmp_path):
    from sklearn.datasets import load_iris

    frame = load_iris(as_frame=True).frame
    frame["species"] = np.array(["setosa", "versicolor", "virginica"])[frame.pop("target")]
    frame.sample(90, random_state=0).to_csv(tmp_path / "a.csv", index=False)
    frame.sample(70, random_state=1).to_csv(tmp_path / "b.csv", index=False)
    return pd.read_csv(tmp_path / "b.csv")


def test_other_data_are_judged_by_one_class_against_the_rest_as_the_run_was(dlrun, flowers):
    dlrun("data=csv", "data.path=a.csv", "data.target=species", "data.positive=virginica", "trainer.epochs=3")
    ended = dlrun("eval", "data.path=b.csv", "output=figures.json")
    assert ended.exit_code == 0, ended.err
    found = json.loads((ended.outputs.parent / "figures.json").read_text())["test"]["confusion_matrix"]
    assert sum(found[1]) == (flowers["species"] == "virginica").sum() and np.sum(found) == len(flowers)
    assert "of no split" in dlrun("eval", "data.positive=setosa").err


def test_of_other_data_only_the_classes_of_the_run_are_judged(dlrun, flowers):
    dlrun("data=csv", "data.path=a.csv", "data.target=species", "data.classes=[setosa,virginica]", "trainer.epochs=3")
    ended = dlrun("eval", "data.path=b.csv")
    assert ended.exit_code == 0, ended.err
    assert f"{(flowers['species'] != 'versicolor').sum()} test" in ended.out


@pytest.mark.parametrize("rows", [slice(0, 1), slice(0, 3)])
def test_few_rows_are_judged_by_what_the_run_knows_of_its_columns(dlrun, flats, tmp_path, rows):
    assert dlrun(*FLATS, "data.target=price", "data.drop=[dear]").exit_code == 0
    few = flats[400:][rows].assign(area=80.0, city="Bern")
    few.to_csv(tmp_path / "few.csv", index=False)
    found = figures(dlrun, "data.path=few.csv")["test"]
    told = dlrun("predict", "run=latest", "input=few.csv", "output=said.csv")
    assert told.exit_code == 0, told.err
    said = pd.read_csv(tmp_path / "said.csv")["prediction"]
    assert found["mse"] == pytest.approx(m.mean_squared_error(few["price"], said), rel=1e-6)
    assert (found["r2"] is None) == (len(few) == 1)
