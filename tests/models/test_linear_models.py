"""The linear models, trained to convergence, agree with scikit-learn's on the same rows."""

import numpy as np
import pytest
from safetensors.torch import load_file
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, load_wine, make_moons
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.preprocessing import FunctionTransformer, StandardScaler


def rows(ended, split):
    return ended.predictions.query("split == @split")["row"].to_numpy()


def test_linear_regression_agrees_with_scikit_learns(dlrun):
    ended = dlrun("model=linear", "data=diabetes", "optimizer.lr=0.05", "trainer.epochs=200", "trainer.batch_size=512",
                  "trainer.early_stopping=null")  # fmt: skip
    x, y = load_diabetes(return_X_y=True)
    train, test = rows(ended, "train"), rows(ended, "test")
    reference = LinearRegression().fit(x[train], y[train])
    assert ended.metrics["test"]["r2"] == pytest.approx(reference.score(x[test], y[test]), abs=0.005)
    assert ended.metrics["train_eval"]["r2"] == pytest.approx(reference.score(x[train], y[train]), abs=0.005)


def test_logistic_regression_agrees_with_scikit_learns(dlrun):
    ended = dlrun("model=logistic", "data=breast_cancer", "optimizer.lr=0.05", "trainer.epochs=60",
                  "optimizer.weight_decay=0.001", "trainer.early_stopping=null")  # fmt: skip
    x, y = load_breast_cancer(return_X_y=True)
    train, test = rows(ended, "train"), rows(ended, "test")
    scaler = StandardScaler().fit(x[train])
    reference = LogisticRegression(C=1 / (0.001 * len(train)), max_iter=5000).fit(scaler.transform(x[train]), y[train])
    score = reference.score(scaler.transform(x[test]), y[test])
    assert ended.metrics["test"]["accuracy"] == pytest.approx(score, abs=0.01)


LOADERS = {"iris": load_iris, "wine": load_wine, "breast_cancer": load_breast_cancer, "digits": load_digits}


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("data", LOADERS)
def test_with_nothing_set_logistic_regression_is_scikit_learns_converged_one(dlrun, data, seed):
    ended = dlrun("model=logistic", f"data={data}", f"seed={seed}")
    x, y = LOADERS[data](return_X_y=True)
    train, test = rows(ended, "train"), rows(ended, "test")
    scaler = StandardScaler().fit(x[train]) if data != "digits" else FunctionTransformer(lambda pixels: pixels / 16)
    reference = LogisticRegression(max_iter=10_000).fit(scaler.transform(x[train]), y[train])
    score = reference.score(scaler.transform(x[test]), y[test])
    assert ended.metrics["test"]["accuracy"] == pytest.approx(score, abs=0.01)
    assert "trained to the minimum" in ended.out


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_with_nothing_set_linear_regression_is_least_squares(dlrun, seed):
    ended = dlrun("model=linear", "data=diabetes", f"seed={seed}")
    x, y = load_diabetes(return_X_y=True)
    train, test = rows(ended, "train"), rows(ended, "test")
    reference = LinearRegression().fit(x[train], y[train]).score(x[test], y[test])
    assert ended.metrics["test"]["r2"] == pytest.approx(reference, abs=1e-6)


def test_what_is_said_of_the_training_of_a_linear_model_is_done_by_gradient_descent(dlrun):
    assert len(dlrun("model=logistic", "data=iris", "trainer.epochs=3", into="a").history) == 3
    assert len(dlrun("model=logistic", "data=iris", "solver=none", "data.limit=60", into="b").history) > 3
    assert "trained to the minimum" in dlrun("model=linear", "data=diabetes", "penalty.l2=0.01", into="c").out


def test_a_run_whose_best_epoch_is_its_last_says_that_it_was_still_improving(dlrun):
    ended = dlrun("data=iris", "model=mlp", "trainer.epochs=3", "optimizer.lr=0.0001")
    assert "still improving at the last epoch" in ended.out and "trainer.epochs=6" in ended.out
    early = dlrun("data=digits", "trainer.epochs=30", "trainer.early_stopping.patience=2", into="early")
    assert early.metrics["best_epoch"] < early.metrics["epochs"] and "still improving" not in early.out


@pytest.mark.parametrize(
    "settings", [("data.split.valid=null",), ("trainer.early_stopping.restore_best=false", "optimizer.lr=0.0001")]
)
def test_a_run_that_looks_for_no_best_epoch_does_not_say_that_it_was_still_improving(dlrun, settings):
    assert "still improving" not in dlrun("data=iris", "model=mlp", "trainer.epochs=3", *settings).out


def test_a_penalty_of_0_is_none_and_no_penalty_said_is_scikit_learns(dlrun):
    settings = ("data=moons", "model=logistic", "data.split.valid=null")
    free = dlrun(*settings, "penalty.l2=0", into="free")
    usual = dlrun(*settings, into="usual")
    x, y = make_moons(n_samples=1000, noise=0.1, random_state=0)
    train = rows(free, "train")
    for ended, strength in ((free, np.inf), (usual, 1.0)):
        theirs = LogisticRegression(C=strength, tol=1e-8, max_iter=10_000).fit(x[train], y[train])
        ours = load_file(ended.folder / "model.safetensors")["output.weight"]
        assert ours.numpy() == pytest.approx(theirs.coef_, rel=1e-3)


def test_classes_can_be_weighted_in_any_precision(dlrun):
    ended = dlrun("data=iris", "model=logistic", "class_weight=balanced")
    assert ended.exit_code == 0 and ended.metrics["test"]["accuracy"] > 0.8


def test_preprocessing_is_fitted_on_the_training_rows_only(dlrun):
    import skops.io

    ended = dlrun("model=linear", "data=diabetes", "trainer.epochs=1")
    path = ended.folder / "preprocessing.skops"
    fitted = skops.io.load(path, trusted=skops.io.get_untrusted_types(file=path))
    x = load_diabetes(scaled=False).data
    means = fitted.named_transformers_["numeric"][-1].mean_
    assert means == pytest.approx(x[rows(ended, "train")].mean(axis=0))
    assert not np.allclose(means, x.mean(axis=0), rtol=1e-6)
