"""What TensorBoard finds in a run folder, read by TensorBoard's own reader."""

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


@pytest.fixture
def found(dlrun):
    ended = dlrun("trainer.epochs=3", "optimizer.lr=0.002")
    events = EventAccumulator(str(ended.folder))
    events.Reload()
    return ended, events


def test_losses_metrics_and_learning_rate_per_epoch(found):
    _, events = found
    tags = set(events.Tags()["scalars"])
    assert {"train/loss", "train/accuracy", "valid/loss", "valid/accuracy", "lr"} <= tags
    assert [event.step for event in events.Scalars("valid/loss")] == [1, 2, 3]
    assert events.Scalars("lr")[0].value == pytest.approx(0.002)


def test_the_config_is_there_as_text(found):
    _, events = found
    assert b"dlrun.models.mlp.MLP" in events.Tensors("config/text_summary")[0].tensor_proto.string_val[0]


def test_hparams_carry_the_config_and_the_final_metrics(found):
    ended, events = found
    from tensorboard.plugins.hparams import plugin_data_pb2

    content = events.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    started = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info
    assert started.hparams["optimizer.lr"].number_value == pytest.approx(0.002)
    assert events.Scalars("final/test/accuracy")[0].value == pytest.approx(ended.metrics["test"]["accuracy"])
