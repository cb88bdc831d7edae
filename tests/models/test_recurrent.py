"""Recurrent networks: their dropouts, pooled states, embeddings, and state carried from row to row."""

import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import torch
from torch import nn

from dlrun.models.recurrent import GRU, LSTM, RNN

SERIES = ("data=series", "data.path=demand.csv", "data.target=demand", "data.lags=1", "model.hidden=[4]",
          "data.split.valid={by: last, rows: 20}", "data.split.test={by: last, rows: 30}")  # fmt: skip
IN_ORDER = ("trainer.stateful=true", "trainer.shuffle=false", "trainer.batch_size=1")


def echoing(**settings) -> RNN:
    """A network of 50 units, each of which adds up the ones that it reads: weights 1 from its own input and state."""
    model = RNN((4, 50), 1, [50], activation="relu", bias=False, **settings)
    with torch.no_grad():
        model.recurrent[0].weight_ih_l0.copy_(torch.eye(50))
        model.recurrent[0].weight_hh_l0.copy_(torch.eye(50))
    model.output = nn.Identity()
    return model.train()


def test_recurrent_dropout_hides_the_same_units_at_all_steps():
    torch.manual_seed(0)
    found = echoing(recurrent_dropout=0.5)(torch.ones(8, 4, 50))
    hidden, kept = 1, 1 + 2 * (1 + 2 * (1 + 2))  # of a unit that forgets, and of one whose state is doubled each step
    assert set(found.unique().tolist()) == {hidden, kept}
    assert (found[0] != found[1]).any()


def test_input_dropout_drops_the_same_features_at_all_steps():
    torch.manual_seed(0)
    found = echoing(input_dropout=0.5)(torch.ones(8, 4, 50))
    assert set(found.unique().tolist()) == {0.0, 4 * 2.0}


def test_dropouts_do_nothing_when_evaluating():
    model = echoing(input_dropout=0.5, recurrent_dropout=0.5).eval()
    assert (model(torch.ones(2, 4, 50)) == 4).all()


def test_units_cannot_be_dropped_where_pytorch_has_no_place_for_it(dlrun):
    for settings in (["model=lstm", "model.bidirectional=true"], ["model=lstm", "model.layers=2"]):
        ended = dlrun(*settings, "model.recurrent_dropout=0.2")
        assert ended.exit_code == 2 and ended.err.count("\n") == 1 and "model.recurrent_dropout" in ended.err


@pytest.mark.parametrize("pool", ["max", "avg"])
def test_states_are_pooled_over_the_steps_that_are_no_padding(pool):
    torch.manual_seed(0)
    model = GRU((6,), 2, [5], pool=pool, vocabulary=9, embedding=3, mask=True).eval()
    states, _ = model.recurrent[0](model.embedding(torch.tensor([[5, 2, 7]])))
    pooled = states.amax(dim=1) if pool == "max" else states.mean(dim=1)
    for tokens in ([[0, 0, 0, 5, 2, 7]], [[5, 2, 7, 0, 0, 0]]):
        torch.testing.assert_close(model(torch.tensor(tokens)), model.output(pooled))


def test_a_frozen_embedding_stays_as_it_was_given(dlrun, tmp_path):
    (tmp_path / "mails.csv").write_text("text,kind\n" + "win money,spam\nsee you soon,ham\n" * 20)
    vectors = torch.arange(21.0).reshape(7, 3)  # padding, unknown, and the five words
    safetensors.torch.save_file({"embedding.weight": vectors}, tmp_path / "vectors.safetensors")
    ended = dlrun("data=text", "data.path=mails.csv", "data.text=text", "data.target=kind", "data.represent=tokens",
                  "model=lstm", "model.hidden=[4]", "model.embedding=3", "initializer.frozen=[embedding.weight]",
                  "initializer.file=vectors.safetensors", "trainer.epochs=2")  # fmt: skip
    assert ended.exit_code == 0, ended.err
    assert (safetensors.torch.load_file(ended.folder / "model.safetensors")["embedding.weight"] == vectors).all()
    assert ended.metrics["parameters"] == sum(p.numel() for p in LSTM((3, 3), 1, [4]).parameters())


@pytest.fixture
def demand(tmp_path):
    rng = np.random.default_rng(0)
    values = pd.DataFrame({"demand": np.sin(np.arange(150) / 5) + rng.normal(0, 0.1, 150)})
    values.to_csv(tmp_path / "demand.csv", index=False)
    return values["demand"].to_numpy()


def test_a_carried_state_reads_every_split_as_one_series(dlrun, demand):
    ended = dlrun(*SERIES, *IN_ORDER, "model=rnn", "data.scale=none", "data.scale_target=false", "trainer.epochs=2")
    assert ended.exit_code == 0, ended.err
    weights = safetensors.torch.load_file(ended.folder / "model.safetensors")
    layer, output = nn.RNN(1, 4, batch_first=True), nn.Linear(4, 1)
    layer.load_state_dict({name.rpartition(".")[2]: w for name, w in weights.items() if name.startswith("recurrent")})
    output.load_state_dict({name.rpartition(".")[2]: w for name, w in weights.items() if name.startswith("output")})
    found = ended.predictions
    series = torch.tensor(demand[found["row"] - 1], dtype=torch.float32)[None, :, None]
    with torch.no_grad():
        expected = output(layer(series)[0]).ravel().numpy()
    assert found["row"].is_monotonic_increasing and len(found) == 147  # one left out at each border, and the first
    assert found["prediction"].to_numpy() == pytest.approx(expected, abs=1e-5)


def test_the_validation_rows_go_on_from_the_training_rows_state(dlrun, demand):
    """With weights that do not change, the figures while training are those of the end."""
    ended = dlrun(*SERIES, *IN_ORDER, "model=lstm", "optimizer.lr=0", "trainer.epochs=1")
    history = pd.read_csv(ended.folder / "history.csv")
    assert history["valid/loss"][0] == pytest.approx(ended.metrics["valid"]["loss"], rel=1e-6)
    assert history["train/loss"][0] == pytest.approx(ended.metrics["train_eval"]["loss"], rel=1e-6)


def test_a_carried_state_survives_a_resume(dlrun, demand):
    job = (*SERIES, *IN_ORDER, "model=lstm", "trainer.early_stopping=null")
    whole = dlrun(*job, "trainer.epochs=4", "data.path=../demand.csv", into="whole")
    kept = "trainer.keep_checkpoints=true"
    dlrun(*job, kept, "trainer.epochs=2", "data.path=../demand.csv", into="parts")
    parts = dlrun("resume=latest", "trainer.epochs=4", into="parts")
    assert parts.exit_code == 0, parts.err
    for name in ("model.safetensors", "history.csv", "predictions.csv"):
        assert (parts.folder / name).read_bytes() == (whole.folder / name).read_bytes()


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        (["trainer.stateful=true", "model=lstm"], "trainer.shuffle=false"),
        ([*IN_ORDER, "model=mlp"], "model=rnn"),
        ([*IN_ORDER, "model=lstm", "data.split.test.by=random"], "by=last"),
    ],
)
def test_state_cannot_be_carried_where_there_is_none_or_no_order(dlrun, demand, settings, word):
    ended = dlrun(*SERIES, *settings)
    assert ended.exit_code == 2 and ended.err.count("\n") == 1 and word in ended.err


def test_named_parameters_have_their_own_initializer(dlrun, demand):
    ones = "initializer.named={recurrent.0.weight_ih*: {_target_: torch.nn.init.ones_}}"
    ended = dlrun(*SERIES, "model=gru", "initializer=keras", ones, "trainer.epochs=0")
    weights = safetensors.torch.load_file(ended.folder / "model.safetensors")
    assert (weights["recurrent.0.weight_ih_l0"] == 1).all() and not (weights["output.weight"] == 1).any()


@pytest.mark.parametrize(
    ("value", "word"),
    [
        ("{recurent.0.*: {_target_: torch.nn.init.ones_}}", "recurrent.0.weight_ih_l0"),
        ("{output.weight: {_target_: os.system}}", "os.system"),
        ("ones", "by parameter name"),
    ],
)
def test_named_initializers_that_do_not_fit_are_one_line(dlrun, demand, value, word):
    ended = dlrun(*SERIES, "model=gru", f"initializer.named={value}")
    assert ended.exit_code == 2 and ended.err.count("\n") == 1 and word in ended.err
