"""Every model on every kind of data ends with metrics, or says in a line why it makes no sense."""

import pytest
from conftest import needs_mnist

MODELS = ("linear", "logistic", "mlp", "cnn", "rnn", "lstm", "gru")
DATA = {
    "digits": ["data=digits"],
    "mnist": ["data=mnist", "data.limit=600"],
    "iris": ["data=iris"],
    "moons": ["data=moons"],
    "diabetes": ["data=diabetes"],
}
TABLES = ("iris", "moons", "diabetes")


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("data", [pytest.param(d, marks=needs_mnist) if d == "mnist" else d for d in DATA])
def test_runs_or_refuses_in_one_line(dlrun, model, data):
    ended = dlrun(f"model={model}", *DATA[data], "trainer.epochs=1", "trainer.batch_size=64")
    senseless = (model in ("cnn", "rnn", "lstm", "gru") and data in TABLES) or (model, data) == ("logistic", "diabetes")
    if senseless:
        assert ended.exit_code == 2
        assert ended.err.count("\n") == 1 and ended.err.startswith("dlrun: model") and "use model=" in ended.err
        assert not ended.outputs.exists()
    else:
        assert ended.exit_code == 0, ended.err
        metric = "r2" if data == "diabetes" else "accuracy"
        for split in ("train_eval", "valid", "test"):
            assert isinstance(ended.metrics[split][metric], float)


@needs_mnist
def test_limit_draws_rows_of_both_parts_of_the_source(dlrun):
    ended = dlrun("data=mnist", "data.limit=200", "model=logistic", "trainer.epochs=1")
    parts = ended.predictions.groupby("split")["row"]
    assert parts.nunique().to_dict() == {"train": 180, "valid": 20, "test": 200}
    assert parts.max()["test"] < 10_000
