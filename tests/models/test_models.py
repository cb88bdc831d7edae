"""Networks: parameter counts that courses print, settings that change what they should, and initial weights."""

import math

import pytest
import torch
from omegaconf import OmegaConf
from torch import nn

from dlrun.config.build import build
from dlrun.config.compose import compose
from dlrun.models.cnn import CNN
from dlrun.models.initializers import initialize, parameters_by_kind, read_initializer
from dlrun.models.mlp import MLP
from dlrun.models.recurrent import GRU, LSTM, RNN, rows_as_steps
from dlrun.models.summary import count_parameters, summarize

IMAGE = (1, 28, 28)
BLOCK_POOL_FIRST = ["conv", "pool", "activation"]


def test_mlp_of_the_zero_to_deep_learning_course_has_570602_parameters():
    assert count_parameters(MLP(IMAGE, 10, [512, 256, 128, 32])) == 570_602


def test_cnn_of_the_zero_to_deep_learning_course_has_347146_parameters():
    model = CNN(IMAGE, 10, channels=[32], kernel_size=3, pool_size=2, hidden=[64], block=BLOCK_POOL_FIRST)
    assert count_parameters(model) == 347_146


def test_recurrent_networks_count_both_of_pytorchs_biases():
    assert count_parameters(LSTM((28, 28), 10, [64])) == 4 * 64 * (28 + 64 + 2) + 650
    assert count_parameters(GRU((28, 28), 10, [64])) == 3 * 64 * (28 + 64 + 2) + 650
    assert count_parameters(RNN((28, 28), 10, [64])) == 64 * (28 + 64 + 2) + 650


@pytest.mark.parametrize("order", [["conv", "activation", "pool"], BLOCK_POOL_FIRST])
def test_the_order_inside_a_convolution_block_is_as_told(order):
    kinds = {"conv": nn.Conv2d, "activation": nn.Tanh, "pool": nn.MaxPool2d}
    model = CNN(IMAGE, 10, channels=[4], activation="tanh", block=order)
    assert [type(layer) for layer in model.convolutions] == [kinds[name] for name in order]


def test_batch_norm_stands_before_or_after_the_activation():
    before = MLP((4,), 2, [8], batch_norm=True)
    after = MLP((4,), 2, [8], batch_norm=True, block=["dense", "activation", "batch_norm", "dropout"])
    assert [type(x) for x in before.layers][2:4] == [nn.BatchNorm1d, nn.ReLU]
    assert [type(x) for x in after.layers][2:4] == [nn.ReLU, nn.BatchNorm1d]


@pytest.mark.parametrize(
    ("settings", "shape"),
    [
        ({"padding": "same"}, (4, 14, 14)),
        ({"padding": "valid"}, (4, 13, 13)),
        ({"padding": 2, "stride": 2}, (4, 7, 7)),
        ({"pool_size": 0}, (4, 26, 26)),
        ({"pool": "avg", "kernel_size": 5}, (4, 12, 12)),
    ],
)
def test_convolution_settings_give_these_shapes(settings, shape):
    model = CNN(IMAGE, 10, channels=[4], **settings)
    assert tuple(model.convolutions(torch.zeros(1, *IMAGE)).shape[1:]) == shape


def test_cnn_reads_series_with_one_dimensional_convolutions():
    model = CNN((24, 3), 2, channels=[5], kernel_size=3)
    assert model(torch.zeros(7, 24, 3)).shape == (7, 2)
    assert isinstance(model.convolutions[0], nn.Conv1d) and model.convolutions[0].in_channels == 3


def test_images_are_read_row_by_row():
    images = torch.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    sequence = rows_as_steps(images)
    assert sequence.shape == (2, 4, 15)
    assert sequence[0, 1].tolist() == [*images[0, 0, 1].tolist(), *images[0, 1, 1].tolist(), *images[0, 2, 1].tolist()]


def test_carrying_the_state_equals_reading_the_whole_series():
    torch.manual_seed(0)
    model, series = LSTM((10, 3), 2, [6, 4]).eval(), torch.randn(5, 10, 3)
    _, state = model.with_state(series[:, :6], None)
    scores, _ = model.with_state(series[:, 6:], state)
    torch.testing.assert_close(scores, model(series))


def test_a_bidirectional_network_uses_both_ends():
    torch.manual_seed(0)
    model = LSTM((6, 2), 1, [3], bidirectional=True)
    series = torch.randn(1, 6, 2, requires_grad=True)
    model(series).sum().backward()
    assert (series.grad.abs().sum(dim=2) > 0).all()


def test_summary_shows_output_shapes_and_parameters():
    layers = summarize(CNN(IMAGE, 10, channels=[32], hidden=[64]), torch.zeros(2, *IMAGE), 10)
    found = {layer.kind: (layer.output_shape, layer.parameters) for layer in layers}
    assert found["Conv2d"] == ((32, 26, 26), 320) and layers[-1].output_shape == (10,)
    assert sum(layer.parameters for layer in layers) == 347_146


def test_models_read_the_shapes_that_data_have():
    for model in ("mlp", "cnn", "lstm"):
        config = compose([f"model={model}"]).config

        network = build(config.model, "model", nn.Module, input_shape=(3, 16, 16), outputs=7, vocabulary=None)
        assert network(torch.zeros(2, 3, 16, 16)).shape == (2, 7)


def initialized(name: str, *overrides: str) -> LSTM | MLP:
    torch.manual_seed(0)
    model = MLP((400,), 100, [300])
    initialize(model, read_initializer(compose([f"initializer={name}", *overrides]).config.initializer))
    return model.layers[1].weight


@pytest.mark.parametrize(
    ("name", "deviation"),
    [
        ("glorot_uniform", math.sqrt(2 / 700)), ("glorot_normal", math.sqrt(2 / 700)),
        ("he_uniform", math.sqrt(2 / 400)), ("he_normal", math.sqrt(2 / 400)),
        ("lecun_uniform", math.sqrt(1 / 400)), ("lecun_normal", math.sqrt(1 / 400)),
        ("normal", 0.05), ("uniform", 0.05 / math.sqrt(3)), ("truncated_normal", 0.05 * 0.8796),
        ("zeros", 0.0), ("ones", 0.0), ("constant", 0.0),
    ],
)  # fmt: skip
def test_initial_weights_have_the_deviation_of_their_formula(name, deviation):
    weights = initialized(name)
    assert weights.std().item() == pytest.approx(deviation, rel=0.02, abs=1e-6)
    assert weights.mean().item() == pytest.approx({"ones": 1.0, "constant": 0.1}.get(name, 0.0), abs=2e-3)


def test_orthogonal_weights_are_orthogonal():
    weights = initialized("orthogonal")
    torch.testing.assert_close(weights @ weights.T, torch.eye(300), atol=1e-4, rtol=0)


def test_keras_initializer_is_keras_by_kind_of_parameter():
    torch.manual_seed(0)
    model = LSTM((5, 30), 2, [20])
    initialize(model, read_initializer(compose(["initializer=keras"]).config.initializer))
    cell = model.recurrent[0]
    limit = math.sqrt(6 / (30 + 4 * 20))
    assert cell.weight_ih_l0.abs().max() <= limit and cell.weight_ih_l0.std() > limit / 2
    torch.testing.assert_close(cell.weight_hh_l0.T @ cell.weight_hh_l0, torch.eye(20), atol=1e-4, rtol=0)
    total = cell.bias_ih_l0 + cell.bias_hh_l0
    assert total.tolist() == [0.0] * 20 + [1.0] * 20 + [0.0] * 40  # PyTorch's gates: input, forget, cell, output
    assert model.output.bias.tolist() == [0.0, 0.0]


def test_default_initializer_leaves_pytorchs_own():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 2))
    before = model[0].weight.clone()
    initialize(model, read_initializer(compose([]).config.initializer))
    assert torch.equal(model[0].weight, before)


def test_the_output_layer_can_start_otherwise():
    model = MLP((4,), 2, [3])
    config = compose(["initializer=ones"]).config.initializer
    config.output = OmegaConf.create({"_target_": "torch.nn.init.zeros_"})
    initialize(model, read_initializer(config))
    assert model.layers[1].weight.eq(1).all() and model.layers[-1].weight.eq(0).all()
    kinds = [kind for _, kind, _ in parameters_by_kind(model)]
    assert kinds == ["weights", "biases", "output", "biases"]


@pytest.mark.parametrize(
    ("name", "shape", "outputs", "parameters"),
    [
        ("lenet5", (1, 28, 28), 10, 61_706),
        ("alexnet", (3, 227, 227), 1000, 62_378_344),
        ("vgg16", (3, 224, 224), 1000, 138_357_544),
    ],
)
def test_classic_architectures_are_yaml_with_the_parameters_of_their_papers(name, shape, outputs, parameters):
    config = compose([f"model={name}"]).config
    with torch.device("meta"):
        model = build(config.model, "model", nn.Module, input_shape=shape, outputs=outputs)
    assert count_parameters(model) == parameters


def test_each_hidden_layer_can_have_its_own_activation():
    model = MLP((3,), 1, [4, 4], activation=["tanh", "linear"])
    assert [type(layer) for layer in model.layers][2::2] == [nn.Tanh, nn.Identity]


def test_inputs_can_be_dropped_and_normalised():
    model = MLP((3,), 1, [4], input_dropout=0.1, input_batch_norm=True)
    assert [type(layer) for layer in model.layers][1:3] == [nn.BatchNorm1d, nn.Dropout]


def test_global_pooling_leaves_one_value_a_channel():
    for pool, function in (("avg", torch.mean), ("max", torch.amax)):
        model = CNN((1, 9, 9), 2, channels=[5], pool_size=0, global_pool=pool).eval()
        images = torch.randn(3, 1, 9, 9)
        torch.testing.assert_close(
            model.convolutions(images).flatten(1), function(model.convolutions[:-1](images), dim=(2, 3))
        )


def test_explicit_weights_are_taken_as_given_and_from_a_run(dlrun):
    first = dlrun("data=moons", "model=logistic", "trainer.epochs=0",
                  "initializer.values={output.weight: [[2.0, -1.0]], output.bias: [0.5]}", into="first")  # fmt: skip
    weights = torch.tensor([[2.0, -1.0]])
    from sklearn.datasets import make_moons

    x = torch.tensor(make_moons(1000, noise=0.1, random_state=0)[0][first.predictions["row"]], dtype=torch.float32)
    expected = torch.sigmoid(x @ weights.T + 0.5).ravel().numpy()
    assert first.predictions["probability_1"].to_numpy() == pytest.approx(expected, abs=1e-6)
    again = dlrun("data=moons", "model=logistic", "trainer.epochs=0",
                  f"initializer.file={first.folder}/model.safetensors", into="again")  # fmt: skip
    assert (again.folder / "predictions.csv").read_bytes() == (first.folder / "predictions.csv").read_bytes()


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ("{output.wight: [[1, 2]]}", "output.weight"),
        ("{output.weight: [[1]]}", "shape"),
        ("{output.bias: [x]}", "bias"),
    ],
)
def test_explicit_weights_that_do_not_fit_are_one_line(dlrun, values, word):
    ended = dlrun("data=moons", "model=logistic", f"initializer.values={values}")
    assert ended.exit_code == 2 and ended.err.count("\n") == 1 and word in ended.err
