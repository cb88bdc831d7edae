"""The linear models, trained to convergence, agree with scikit-learn's on the same rows."""

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.preprocessing import StandardScaler


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


def test_preprocessing_is_fitted_on_the_training_rows_only(dlrun):
    import skops.io

    ended = dlrun("model=linear", "data=diabetes", "trainer.epochs=1")
    path = ended.folder / "preprocessing.skops"
    fitted = skops.io.load(path, trusted=skops.io.get_untrusted_types(file=path))
    x = load_diabetes(scaled=False).data
    means = fitted.named_transformers_["numeric"][-1].mean_
    assert means == pytest.approx(x[rows(ended, "train")].mean(axis=0))
    assert not np.allclose(means, x.mean(axis=0), rtol=1e-6)
