"""The training loop: batches, steps, early stopping and schedules do what they are told."""

import csv
import os

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from dlrun.config.compose import compose
from dlrun.data.rows import TensorRows
from dlrun.data.split import Split
from dlrun.models.cnn import CNN
from dlrun.models.mlp import MLP
from dlrun.runs.recipe import plain
from dlrun.runtime import Runtime
from dlrun.training.batches import Batching
from dlrun.training.early_stopping import EarlyStopping, Stopper
from dlrun.training.network import Network
from dlrun.training.schedules import InverseTimeDecay, build_schedule, read_schedule

MOONS = ("data=moons", "model.hidden=[8]")


def history(ended):
    with open(ended.folder / "history.csv") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def weights(ended):
    return load_file(ended.folder / "model.safetensors")


def test_every_row_is_seen_once_an_epoch_in_an_order_of_its_own():
    trainer = Batching(batch_size=7)
    first, second = trainer.order(100, seed=3, epoch=1), trainer.order(100, seed=3, epoch=2)
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(100))
    assert first.tolist() != second.tolist()
    assert torch.equal(first, trainer.order(100, seed=3, epoch=1))
    assert not torch.equal(first, trainer.order(100, seed=4, epoch=1))


def test_without_shuffle_rows_come_in_their_order():
    assert Batching(32, shuffle=False).order(5, seed=0, epoch=9).tolist() == [0, 1, 2, 3, 4]


def test_numbers_below_all_floats_are_0_in_a_run_and_slow_nothing_down_and_count_again_after_it(dlrun, monkeypatch):
    found = []
    monkeypatch.setattr("dlrun.runs.conclude.report", lambda *_: found.append(torch.full((100,), 1e-30) * 1e-10))
    assert dlrun(*MOONS, "trainer.epochs=0").exit_code == 0
    assert (found[0] == 0).all()
    assert (torch.full((100,), 1e-30) * 1e-10 > 0).all()


def test_the_last_partial_batch_is_kept_unless_dropped():
    assert len(Batching(batch_size=32).order(100, 0, 1)) == 100 and Batching(batch_size=32).steps(100) == 4
    dropping = Batching(batch_size=32, drop_last=True)
    assert len(dropping.order(100, 0, 1)) == 96 and dropping.steps(100) == 3


def test_steps_per_epoch_cuts_the_epoch_short_or_goes_on_with_new_passes():
    assert len(Batching(batch_size=10, steps_per_epoch=3).order(100, 0, 1)) == 30
    long = Batching(batch_size=10, steps_per_epoch=15).order(100, 0, 1)
    assert len(long) == 150 and sorted(long[:100].tolist()) == list(range(100))


def test_rows_are_evaluated_a_thousand_at_once_and_fewer_where_a_layer_makes_them_large():
    rows = Split(TensorRows(torch.rand(1500, 1, 28, 28)), torch.zeros(1500, dtype=torch.int64), np.arange(1500))
    passed = []
    for model, at_once in (
        (MLP((1, 28, 28), 10, hidden=[32]), 1024),
        (CNN((1, 28, 28), 10, channels=[64], hidden=[]), 2**22 // (64 * 26 * 26)),
    ):
        for layer in model.modules():
            layer.register_forward_hook(lambda _layer, _inputs, output: passed.append(output))
        runtime = Runtime(torch.device("cpu"))
        scores = Network(model, nn.CrossEntropyLoss(), runtime).scores({"": rows})[""]
        assert max(map(len, passed)) == at_once and max(output.nbytes for output in passed) <= 2**24
        torch.testing.assert_close(scores, model.eval()(rows.stored()).detach())
        passed.clear()


def test_accumulated_batches_equal_one_large_batch(dlrun):
    settings = (*MOONS, "precision=fp64", "trainer.epochs=2", "optimizer=sgd", "data.split.valid=null")
    large = dlrun(*settings, "trainer.batch_size=100", into="large")
    small = dlrun(*settings, "trainer.batch_size=25", "trainer.accumulate=4", into="small")
    for name, tensor in weights(large).items():
        torch.testing.assert_close(weights(small)[name], tensor, rtol=1e-9, atol=1e-12)


def test_the_last_group_of_an_epoch_is_averaged_over_the_batches_that_are_left(dlrun):
    """Three batches with accumulate=8 make one step, as three batches with accumulate=3 do."""
    settings = (*MOONS, "precision=fp64", "trainer.epochs=2", "optimizer=sgd", "trainer.batch_size=50")
    whole = dlrun(*settings, "trainer.accumulate=3", "data.train_rows=150", into="whole")
    short = dlrun(*settings, "trainer.accumulate=8", "data.train_rows=150", into="short")
    assert [row["epoch"] for row in history(short)] == [1, 2]
    for name, tensor in weights(whole).items():
        torch.testing.assert_close(weights(short)[name], tensor, rtol=0, atol=0)


@pytest.mark.parametrize("settings", [("scheduler=one_cycle", "scheduler.interval=epoch"), ("scheduler=cosine",),
                                      ("scheduler=cosine", "scheduler.interval=step")])  # fmt: skip
def test_a_schedule_reaches_its_end_on_the_last_epoch_or_step_whatever_its_interval(dlrun, settings):
    ended = dlrun(*MOONS, "optimizer.lr=0.1", *settings, "trainer.epochs=8", "trainer.early_stopping=null")
    rates = [row["lr"] for row in history(ended)]
    assert ended.exit_code == 0 and rates[-1] < 0.02 and max(rates) > 0.08 and rates[-2] > rates[-1]


def test_groups_of_parameters_have_settings_and_optimizers_of_their_own(dlrun):
    settings = (*MOONS, "optimizer=sgd", "optimizer.lr=0.1", "trainer.epochs=1")
    start = dlrun(*settings[:-1], "trainer.epochs=0", into="start")
    held = dlrun(*settings, "optimizer.groups={head.*: {lr: 0.0}}", into="held")
    own = dlrun(*settings, "optimizer.groups={biases: {_target_: torch.optim.Adam, lr: 0.0}}", into="own")
    assert held.exit_code == own.exit_code == 0, (held.err, own.err)
    moved = {name for name, tensor in weights(held).items() if not torch.equal(tensor, weights(start)[name])}
    assert moved == {"layers.1.weight", "layers.1.bias"}
    moved = {name for name, tensor in weights(own).items() if not torch.equal(tensor, weights(start)[name])}
    assert moved == {"layers.1.weight", "layers.3.weight"}


@pytest.mark.parametrize(("groups", "word"), [("{nothing.*: {lr: 1.0}}", "nothing"), ("{biases: {rate: 1.0}}", "rate"),
                                              ("3", "optimizer.groups"), ("{norms: {lr: 1.0}}", "norms")])  # fmt: skip
def test_groups_that_cannot_be_are_one_line(dlrun, groups, word):
    ended = dlrun(*MOONS, f"optimizer.groups={groups}")
    assert ended.exit_code == 2 and word in ended.err and ended.err.count("\n") == 1


def test_an_l1_penalty_to_true_zeros_goes_by_each_groups_learning_rate(dlrun):
    settings = ("data=iris", "model=mlp", "optimizer=sgd", "optimizer.lr=0.1", "penalty={l1: 0.5, proximal: true}")
    still = dlrun(*settings, "optimizer.groups={head.*: {lr: 0.0}}", "trainer.epochs=3", into="still").folder
    before = dlrun(*settings, "trainer.epochs=0", into="before").folder
    trained, initial = load_file(still / "model.safetensors"), load_file(before / "model.safetensors")
    same = {name: torch.equal(trained[name], initial[name]) for name in trained}
    *hidden, last = [name for name in same if name.endswith("weight")]
    assert same[last] and not any(same[name] for name in hidden)


def test_a_schedule_that_gives_all_groups_one_rate_is_refused_where_they_have_their_own(dlrun):
    settings = ("scheduler=one_cycle", "optimizer.groups={head.*: {lr: 0.01}}", "trainer.epochs=2")
    refused = dlrun("data=iris", "model=mlp", *settings)
    assert refused.exit_code == 2 and "OneCycleLR" in refused.err and refused.err.count("\n") == 1


def test_what_was_set_of_determinism_is_put_back_whole(monkeypatch):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        with Runtime(torch.device("cpu"), deterministic=False):
            assert not torch.are_deterministic_algorithms_enabled()
        assert torch.is_deterministic_algorithms_warn_only_enabled()
    finally:
        torch.use_deterministic_algorithms(False)
    with Runtime(torch.device("cpu"), deterministic=True):
        assert "CUBLAS_WORKSPACE_CONFIG" in os.environ
    assert "CUBLAS_WORKSPACE_CONFIG" not in os.environ


def test_a_fixed_shuffled_order_is_the_same_in_every_epoch():
    orders = [Batching(8, shuffle="once").order(40, seed=1, epoch=epoch).tolist() for epoch in (1, 2, 9)]
    assert orders[0] == orders[1] == orders[2] != list(range(40))


def test_a_clipped_gradient_moves_the_weights_no_further_than_its_norm(dlrun):
    settings = (*MOONS, "optimizer=sgd", "optimizer.lr=1.0", "trainer.steps_per_epoch=1", "trainer.early_stopping=null")
    start = dlrun(*settings, "trainer.epochs=0", into="start")
    moved = dlrun(*settings, "trainer.epochs=1", "trainer.grad_clip=0.01", into="moved")
    distance = sum((weights(moved)[n] - w).square().sum() for n, w in weights(start).items()).sqrt().item()
    assert distance == pytest.approx(0.01, rel=1e-3)


def test_zero_epochs_evaluate_the_initial_weights(dlrun):
    ended = dlrun(*MOONS, "trainer.epochs=0", "initializer=zeros")
    assert ended.metrics["epochs"] == 0 and ended.metrics["test"]["log_loss"] == pytest.approx(0.693147, abs=1e-6)


def test_early_stopping_waits_for_patience_and_restores_the_best_weights(dlrun):
    ended = dlrun(*MOONS, "optimizer.lr=0.3", "trainer.epochs=60", "trainer.early_stopping.patience=3")
    losses = [row["valid/loss"] for row in history(ended)]
    best = losses.index(min(losses)) + 1
    assert ended.metrics["best_epoch"] == best and len(losses) == best + 3 < 60
    assert ended.metrics["valid"]["loss"] == pytest.approx(min(losses), rel=1e-5)


def test_without_restore_best_the_last_weights_are_evaluated(dlrun):
    ended = dlrun(*MOONS, "optimizer.lr=0.3", "trainer.epochs=60", "trainer.early_stopping.patience=3",
                  "trainer.early_stopping.restore_best=false")  # fmt: skip
    rows = history(ended)
    assert len(rows) < 60 and ended.metrics["best_epoch"] == len(rows)
    assert ended.metrics["valid"]["loss"] == pytest.approx(rows[-1]["valid/loss"], rel=1e-5)


def test_any_metric_can_be_monitored_and_more_is_better_where_it_is(dlrun):
    ended = dlrun(*MOONS, "trainer.epochs=5", "trainer.early_stopping.monitor=valid/roc_auc")
    values = [row["valid/roc_auc"] for row in history(ended)]
    assert ended.metrics["best_epoch"] == values.index(max(values)) + 1
    assert ended.metrics["valid"]["roc_auc"] == pytest.approx(max(values), abs=1e-9)


def test_training_loss_can_be_monitored_without_validation_rows(dlrun):
    ended = dlrun(*MOONS, "data.split.valid=null", "trainer.early_stopping.monitor=train/loss", "trainer.epochs=3")
    assert ended.exit_code == 0 and "valid" not in ended.metrics


def test_without_validation_rows_all_epochs_run_and_the_person_is_told(dlrun):
    ended = dlrun(*MOONS, "data.split.valid=null", "trainer.epochs=4", "trainer.early_stopping.patience=0")
    assert ended.metrics["epochs"] == 4 and "no validation rows" in ended.out


def test_patience_counts_as_keras_does():
    stopper = Stopper(EarlyStopping(patience=2))
    stops = []
    for epoch, value in enumerate([1.0, 0.5, 0.6, 0.5], 1):
        stopper.improves(value, epoch)
        stops.append(stopper.stops)
    assert stops == [False, False, False, True] and stopper.best_epoch == 2


def test_min_delta_is_what_an_improvement_must_exceed():
    stopper = Stopper(EarlyStopping(min_delta=0.1), maximizes=True)
    assert [stopper.improves(v, e) for e, v in enumerate([0.5, 0.55, 0.7], 1)] == [True, False, True]


def test_running_means_weigh_each_batch_by_its_rows(dlrun):
    """With a learning rate of 0 the running mean over the batches is the clean mean over the rows."""
    ended = dlrun(*MOONS, "optimizer=sgd", "optimizer.lr=0", "trainer.epochs=1", "trainer.batch_size=37")
    assert history(ended)[0]["train/loss"] == pytest.approx(ended.metrics["train_eval"]["loss"], rel=1e-5)
    assert history(ended)[0]["train/accuracy"] == pytest.approx(ended.metrics["train_eval"]["accuracy"])


SCHEDULES = {
    "none": [0.1, 0.1, 0.1, 0.1],
    "step": [0.1, 0.1, 0.05, 0.05],
    "multistep": [0.1, 0.02, 0.02, 0.004],
    "exponential": [0.1, 0.05, 0.025, 0.0125],
    "cosine": [0.1, 0.1 * (1 + 2**-0.5) / 2, 0.05, 0.1 * (1 - 2**-0.5) / 2],
}
SETTINGS = {
    "step": ["scheduler.class.step_size=2", "scheduler.class.gamma=0.5"],
    "multistep": ["scheduler.class.milestones=[1,3]", "scheduler.class.gamma=0.2"],
    "exponential": ["scheduler.class.gamma=0.5"],
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_learning_rates_of_the_epochs_follow_the_schedule(dlrun, name):
    ended = dlrun(*MOONS, "optimizer=sgd", "optimizer.lr=0.1", f"scheduler={name}", *SETTINGS.get(name, []),
                  "trainer.epochs=4", "trainer.early_stopping=null")  # fmt: skip
    assert [row["lr"] for row in history(ended)] == pytest.approx(SCHEDULES[name])


def test_one_cycle_ends_at_its_lowest_rate_after_all_steps(dlrun):
    ended = dlrun(*MOONS, "optimizer.lr=0.1", "scheduler=one_cycle", "trainer.epochs=3", "trainer.early_stopping=null")
    rates = [row["lr"] for row in history(ended)]
    assert ended.exit_code == 0 and rates[-1] == pytest.approx(0.1 / 25 / 1e4, rel=1e-2) and max(rates) > 0.05


@pytest.mark.parametrize(("monitor", "better"), [("valid/loss", -1), ("valid/accuracy", 1)])
def test_plateau_lowers_the_rate_when_the_monitored_value_gets_no_better(monitor, better):
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    config = compose(["scheduler=plateau", "scheduler.class.patience=0", f"scheduler.monitor={monitor}"]).config
    schedule = build_schedule(read_schedule(plain(config)["scheduler"], ()), [optimizer], 10, 10, better > 0)
    rates = []
    for value in (1.0, 1.0 + better, 1.0 + better, 1.0):
        schedule.after_epoch({monitor: value})
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([1.0, 1.0, 0.1, 0.01])


def test_plateau_goes_by_what_is_logged(dlrun):
    assert dlrun(*MOONS, "scheduler=plateau", "trainer.epochs=2").exit_code == 0


def test_inverse_time_decay_is_its_formula():
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    schedule = InverseTimeDecay(optimizer, rate=1.0, steps=50)
    rates = []
    for _ in range(4):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates == pytest.approx([5 / (t + 50) for t in range(4)])


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "nesterov", "adam", "adamw", "rmsprop", "adagrad", "adadelta",
                                       "adamax", "nadam"])  # fmt: skip
def test_every_optimizer_lowers_the_training_loss(dlrun, optimizer):
    ended = dlrun("data=iris", f"optimizer={optimizer}", "optimizer.lr=0.05", "trainer.epochs=10")
    losses = [row["train/loss"] for row in history(ended)]
    assert ended.exit_code == 0 and losses[-1] < losses[0]


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", "float32"), ("fp64", "float64"), ("bf16", "float32")])
def test_precision_is_that_of_the_saved_weights(dlrun, precision, dtype):
    ended = dlrun(*MOONS, f"precision={precision}", "trainer.epochs=2")
    assert ended.exit_code == 0
    assert {str(tensor.dtype) for tensor in weights(ended).values()} == {f"torch.{dtype}"}


def test_a_run_whose_loss_becomes_infinite_is_reported_and_its_best_weights_are_kept(dlrun):
    ended = dlrun("data=diabetes", "model=mlp", "optimizer=sgd", "optimizer.lr=0.01", "scheduler=exponential",
                  "scheduler.class.gamma=1e4", "trainer.early_stopping.patience=30")  # fmt: skip
    assert ended.exit_code == 3 and "diverged in epoch" in ended.out
    assert ended.metrics["status"] == "diverged" and ended.metrics["epochs"] < 30
    losses = [row["valid/loss"] for row in history(ended)]
    assert ended.metrics["best_epoch"] == losses.index(min(losses)) + 1 < ended.metrics["epochs"]
    assert ended.metrics["valid"]["loss"] == pytest.approx(min(losses), rel=1e-5)


def test_weights_that_break_in_the_last_step_are_reported_as_diverged(dlrun):
    ended = dlrun("data=diabetes", "data.scale_target=false", "optimizer=sgd", "optimizer.lr=1e38", "trainer.epochs=1",
                  "trainer.batch_size=1000", "data.split.valid=null")  # fmt: skip
    assert ended.exit_code == 3 and ended.metrics["status"] == "diverged"
