"""Settings that courses need: one class against the rest, rows in a given order, frozen weights, scaled pixels."""

import json

import numpy as np
import pandas as pd
import pytest
from safetensors.torch import load_file
from sklearn.datasets import load_digits, load_iris
from sklearn.preprocessing import StandardScaler

LAST = "data.split.test={fraction: 0.3, by: last}"


def test_one_class_against_the_rest(dlrun):
    ended = dlrun("data=iris", "data.positive=virginica", "model=logistic", "trainer.epochs=1")
    assert "2 classes" in ended.out and set(ended.predictions["truth"]) == {"virginica", "not virginica"}
    truth = ended.predictions.sort_values("row")["truth"] == "virginica"
    assert truth.tolist() == (load_iris().target == 2).tolist()


def test_only_some_classes_keep_their_row_numbers(dlrun):
    ended = dlrun("data=iris", "data.classes=[setosa,virginica]", "model=logistic", "trainer.epochs=1")
    assert sorted(ended.predictions["row"]) == [*range(50), *range(100, 150)]
    assert "did you mean" in dlrun("data=iris", "data.classes=[setosa,virginia]", into="wrong").err


def test_an_integer_target_of_many_classes_can_be_one_against_the_rest(dlrun, tmp_path):
    pd.DataFrame({"x": np.arange(90) ** 2 % 37, "age": np.arange(90) % 30}).to_csv(tmp_path / "ages.csv", index=False)
    ended = dlrun("data=csv", "data.path=ages.csv", "data.target=age", "data.task=multiclass", "data.positive=7",
                  "trainer.epochs=1")  # fmt: skip
    assert ended.exit_code == 0 and set(ended.predictions["truth"].astype(str)) == {"7", "not 7"}
    ended = dlrun("data=csv", "data.path=ages.csv", "data.target=age", "data.positive=7")
    assert "is no class" in ended.err


def test_rows_are_permuted_as_numpy_does(dlrun):
    ended = dlrun("data=iris", "data.permute=42", LAST, "data.split.valid=null", "model=logistic", "trainer.epochs=1")
    expected = np.random.RandomState(42).permutation(150)[-45:]
    assert ended.predictions.query("split == 'test'")["row"].tolist() == expected.tolist()
    assert "a seed lies between" in dlrun("data=iris", "data.permute=-1", into="wrong").err


def test_the_first_rows_can_be_the_validation_rows(dlrun):
    ended = dlrun("data=iris", "data.split.test=null", "data.split.valid={rows: 20, by: first}", "trainer.epochs=1")
    assert ended.predictions.query("split == 'valid'")["row"].tolist() == list(range(20))


def test_validating_on_the_test_rows_is_said_and_counts_no_row_twice(dlrun):
    ended = dlrun("data=iris", LAST, "data.split.valid={by: test}", "data.scale=standard_all_rows", "trainer.epochs=1")
    assert "150 rows (105 train, 45 valid, 45 test)" in ended.out and "they are not untouched" in ended.out
    assert "test rows included" in ended.out
    assert "none of random" in dlrun("data=iris", "data.split.test={by: test}", into="wrong").err
    assert "no test rows" in dlrun("data=iris", "data.split={test: null, valid: {by: test}}", into="none").err
    assert ended.metrics["valid"]["loss"] == ended.metrics["test"]["loss"]
    import skops.io

    path = ended.folder / "preprocessing.skops"
    fitted = skops.io.load(path, trusted=skops.io.get_untrusted_types(file=path))
    assert fitted.named_transformers_["numeric"][-1].mean_ == pytest.approx(load_iris().data.mean(axis=0))


def test_a_series_can_be_validated_on_its_test_rows(dlrun, tmp_path):
    pd.DataFrame({"y": np.sin(np.arange(200) / 5)}).to_csv(tmp_path / "wave.csv", index=False)
    ended = dlrun("data=series", "data.path=wave.csv", "data.target=y", "data.lags=6", "model=linear",
                  "data.split.valid={by: test}", "trainer.epochs=1")  # fmt: skip
    assert ended.exit_code == 0, ended.err
    assert ended.metrics["rows"]["valid"] == ended.metrics["rows"]["test"] > 0


def test_frozen_parameters_stay_whatever_pulls_at_them(dlrun):
    start = ("data=iris", "model.hidden=[5]", "initializer=ones", "initializer.frozen=[layers.1.weight]")
    ended = dlrun(*start, "trainer.epochs=3", "penalty.max_norm=0.5")
    weights = load_file(ended.folder / "model.safetensors")
    assert (weights["layers.1.weight"] == 1).all() and not (weights["layers.3.weight"] == 1).all()
    assert ended.metrics["parameters"] == 5 + 5 * 3 + 3
    assert "no parameter is left" in dlrun(*start[:3], "initializer.frozen=['*']", into="all").err


def test_a_penalty_by_name_is_that_of_the_formula(dlrun):
    given = ("data=gates", "data.gate=and", "model=logistic", "optimizer=sgd", "optimizer.lr=0.1", "precision=fp64",
             "initializer.values={output.weight: [[2.0, -3.0]], output.bias: [4.0]}", "trainer.epochs=1",
             "trainer.batch_size=4", "trainer.early_stopping=null")  # fmt: skip
    plain = load_file(dlrun(*given, into="plain").folder / "model.safetensors")
    named = "penalty.named={output.bias: {l2: 1}, output.weight: {l1: 0.5}}"
    pulled = load_file(dlrun(*given, named, into="pulled").folder / "model.safetensors")
    assert (plain["output.bias"] - pulled["output.bias"]).tolist() == pytest.approx([0.1 * 2 * 1 * 4.0])
    assert (plain["output.weight"] - pulled["output.weight"])[0].tolist() == pytest.approx([0.05, -0.05])
    assert "no such parameter" in dlrun(*given, "penalty.named={outptu.bias: {l2: 1}}", into="wrong").err


def test_pixels_are_standardised_on_the_training_rows_and_again_by_predict(dlrun, tmp_path):
    ended = dlrun("data=digits", "data.scale=standard", "model=logistic", "trainer.epochs=2", "data.limit=500")
    images = load_digits().images
    train = ended.predictions.query("split == 'train'")["row"].to_numpy()
    described = json.loads((ended.folder / "preprocessing.json").read_text())["inputs"]
    assert np.ravel(described["mean"]) == pytest.approx(StandardScaler().fit(images[train].reshape(-1, 64)).mean_)
    test = ended.predictions.query("split == 'test'")
    np.save(tmp_path / "test.npy", images[test["row"]].astype(np.uint8))
    dlrun("predict", "input=test.npy", "output=said.csv")
    said = pd.read_csv(tmp_path / "said.csv")
    assert said["probability_3"].to_numpy() == pytest.approx(test["probability_3"].to_numpy(), abs=1e-6)


def test_patterns_are_counted_in_the_texts(dlrun, tmp_path):
    texts = [("free free 12" if i % 2 else "see you 3") + " x" * (i % 5) for i in range(60)]
    pd.DataFrame({"text": texts, "kind": np.arange(60) % 2}).to_csv(tmp_path / "mails.csv", index=False)
    mails = ("data=text", "data.path=mails.csv", "data.text=text", "data.target=kind", "data.represent=patterns")
    ended = dlrun(*mails, "data.patterns={free: free, digits: '[0-9]'}", "model=logistic", "trainer.epochs=1")
    from dlrun import load

    counts = load(str(ended.folder)).preprocessing.apply(np.array(["free, free", "1 and 22"], dtype=object))
    assert counts.tolist() == [[2, 0], [0, 3]]
    assert "is no regular expression" in dlrun(*mails, "data.patterns={a: '['}").err


def test_scikit_learns_tables_can_be_scaled_widened_and_narrowed(dlrun):
    shown = dlrun("data=moons", "data.polynomial=3", "data.scale=standard", "dry_run=true", "model=linear").out
    assert "inputs 9" in shown
    shown = dlrun("data=iris", "data.drop=['sepal length (cm)', 'sepal width (cm)']", "dry_run=true", into="iris").out
    assert "inputs 2" in shown


def test_a_loss_that_grew_beyond_all_bounds_is_a_divergence(dlrun):
    ended = dlrun("data=line", "model=linear", "optimizer=sgd", "optimizer.lr=0.05", "trainer.epochs=60",
                  "trainer.batch_size=50", "precision=fp64", "data.split={test: null, valid: null}")  # fmt: skip
    assert (
        ended.exit_code == 3
        and ended.metrics["status"] == "diverged"
        and np.isfinite(ended.metrics["train_eval"]["mse"])
    )
