"""scikit-learn's estimators run through the same data, splits, metrics and run folder as networks."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from dlrun import load
from dlrun.config.groups import config_folder

NAMES = sorted(path.stem for path in (config_folder() / "model" / "sklearn").glob("*.yaml"))
QUANTITIES = ("linear", "ridge", "lasso", "elastic_net", "svr", "linear_svr")
FAST = {
    "mlp_classifier": ["model.max_iter=500"],
    "mlp_regressor": ["model.max_iter=20"],
    "decision_tree_regressor": ["model.max_depth=3"],
}


def predicts_quantities(name: str) -> bool:
    return name in QUANTITIES or name.endswith("regressor")


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("name", NAMES)
def test_every_estimator_runs_and_beats_the_baseline(dlrun, name):
    quantities = predicts_quantities(name)
    ended = dlrun(f"model=sklearn/{name}", "data=diabetes" if quantities else "data=breast_cancer", *FAST.get(name, []))
    assert ended.exit_code == 0, ended.err
    metric = "mae" if quantities else "accuracy"
    found, baseline = ended.metrics["test"][metric], ended.metrics["baseline"]["test"][metric]
    assert found < baseline if quantities else found > baseline
    assert (ended.folder / "model.skops").is_file() and not (ended.folder / "model.safetensors").exists()
    rows = load_diabetes(as_frame=True, scaled=False).data if quantities else load_breast_cancer(as_frame=True).data
    said = load(ended.folder).predict(rows).drop(columns=[] if quantities else "prediction")
    expected = ended.predictions.sort_values("row")[said.columns]
    np.testing.assert_allclose(said.to_numpy(), expected.to_numpy(), rtol=1e-6)


def test_its_figures_are_those_of_scikit_learn_on_the_same_rows(dlrun):
    ended = dlrun("model=sklearn/logistic", "data=iris")
    x, y = load_iris(return_X_y=True)
    rows = {split: part["row"].to_numpy() for split, part in ended.predictions.groupby("split")}
    scaler = StandardScaler().fit(x[rows["train"]])
    reference = LogisticRegression(max_iter=1000).fit(scaler.transform(x[rows["train"]]), y[rows["train"]])
    expected = reference.predict_proba(scaler.transform(x[rows["test"]]))
    found = ended.predictions.query("split == 'test'").filter(like="probability_").to_numpy()
    assert found == pytest.approx(expected, abs=1e-9)


def test_the_seed_decides_what_is_random_in_it(dlrun):
    def found(name, seed):
        ended = dlrun("model=sklearn/random_forest_classifier", "model.n_estimators=5", "data=iris", f"seed={seed}",
                      "data.split_seed=0", into=name)  # fmt: skip
        return ended.predictions.filter(like="probability_").to_numpy()

    assert (found("a", 1) == found("b", 1)).all() and not np.array_equal(found("c", 2), found("d", 1))


def test_the_saved_estimator_predicts_what_the_run_predicted(dlrun):
    ended = dlrun("model=sklearn/decision_tree_classifier", "data=moons")
    path = Path(ended.folder / "model.skops")
    estimator = skops.io.load(path, trusted=skops.io.get_untrusted_types(file=path))
    from sklearn.datasets import make_moons

    inputs = make_moons(1000, noise=0.1, random_state=0)[0]
    said = estimator.predict(inputs[ended.predictions["row"]].astype(np.float64))
    assert (said == ended.predictions["prediction"]).all()


def test_two_classes_may_be_named_multiclass(dlrun):
    ended = dlrun("model=sklearn/naive_bayes", "data=moons", "data.task=multiclass")
    assert ended.exit_code == 0 and ended.metrics["test"]["accuracy"] > 0.8


def test_several_labels_are_learned_by_estimators_that_can(dlrun, tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 3))
    table = np.column_stack([x, x[:, 0] > 0, x[:, 1] > 0])
    np.savetxt(tmp_path / "t.csv", table, "%.6g", ",", header="a,b,c,left,right", comments="")
    ended = dlrun("data=csv", "data.path=t.csv", "data.target=[left,right]", "model=sklearn/k_neighbors_classifier")
    assert ended.exit_code == 0, ended.err
    assert ended.metrics["test"]["accuracy"] > 0.8


def test_a_wrong_setting_of_an_estimator_leaves_nothing(dlrun):
    ended = dlrun("data=iris", "model=sklearn/svc", "model.kernel=rbff")
    assert ended.exit_code == 2 and ended.err.count("\n") == 1 and not ended.outputs.exists()
    ended = dlrun("-m", "data=iris", "model=sklearn/svc", "model.kernel=rbff,polyy")
    assert ended.exit_code == 2 and not ended.outputs.exists()


@pytest.mark.parametrize("model", ["svc", "linear_svc", "sgd_classifier"])
def test_a_classifier_without_probabilities_knows_the_classes_of_its_training_rows_only(dlrun, tmp_path, model):
    rng = np.random.default_rng(0)
    for name, kinds in (("train", ["a", "b"]), ("test", ["a", "b", "c"])):
        label = rng.choice(kinds, 60)
        frame = pd.DataFrame({"x": rng.normal(size=60) + 4 * (label == "b"), "y": label})
        frame.to_csv(tmp_path / f"{name}.csv", index=False)
    ended = dlrun("data=csv", "data.path=train.csv", "data.path_test=test.csv", "data.target=y",
                  f"model=sklearn/{model}")  # fmt: skip
    assert ended.exit_code == 0, ended.err
    predicted = ended.predictions[ended.predictions["split"] == "test"]
    known = predicted[predicted["truth"] != "c"]
    assert set(predicted["prediction"]) == {"a", "b"} and (known["truth"] == known["prediction"]).mean() > 0.9
