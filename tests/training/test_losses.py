"""Losses, class weights and penalties are their formulas."""

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch import nn
from torch.nn import functional as F

from dlrun.models.mlp import MLP
from dlrun.tasks.losses import Focal, Hinge, WeightedBinaryLoss
from dlrun.tasks.multiclass import Multiclass
from dlrun.training.penalties import Penalty, Regularizer

SCORES = torch.tensor([[2.0, -1.0, 0.5], [0.1, 0.2, -3.0]])
CLASSES = torch.tensor([0, 2])


def test_hinge_is_the_mean_margin_lost():
    assert Hinge()(torch.tensor([[0.3], [-2.0]]), torch.tensor([[1.0], [0.0]])).item() == pytest.approx(0.35)
    lost = [[0.0, 0.0, 1.5], [1.1, 1.2, 4.0]]
    assert Hinge()(SCORES, CLASSES).item() == pytest.approx(np.mean(lost))


def test_focal_loss_of_gamma_0_is_the_cross_entropy_and_easy_rows_count_less():
    assert Focal(0.0)(SCORES, CLASSES).item() == pytest.approx(F.cross_entropy(SCORES, CLASSES).item())
    share = F.softmax(SCORES, dim=1)[[0, 1], CLASSES]
    expected = (-((1 - share) ** 2) * share.log()).mean().item()
    assert Focal(2.0)(SCORES, CLASSES).item() == pytest.approx(expected, rel=1e-6)


def test_balanced_class_weights_are_scikit_learns():
    targets = torch.tensor([0, 0, 0, 1, 2, 2])
    task = Multiclass(class_names=("a", "b", "c"))
    expected = compute_class_weight("balanced", classes=np.arange(3), y=targets.numpy())
    assert task.class_weights("balanced", targets).tolist() == pytest.approx(expected.tolist())
    assert task.class_weights({"b": 4}, targets).tolist() == [1.0, 4.0, 1.0]


def test_the_weighted_binary_loss_is_pytorchs_for_two_logits():
    logits, targets = torch.tensor([[0.7], [-1.2], [0.1]]), torch.tensor([[1.0], [0.0], [0.0]])
    two = torch.cat([torch.zeros_like(logits), logits], dim=1)
    expected = F.cross_entropy(two, targets.long().ravel(), weight=torch.tensor([1.0, 3.0])).item()
    assert WeightedBinaryLoss(torch.tensor([1.0, 3.0]))(logits, targets).item() == pytest.approx(expected)


def test_class_weights_move_the_decision_towards_the_weighted_class(dlrun):
    recalls = [
        dlrun("data=breast_cancer", "model=logistic", "trainer.epochs=3", weights, into=name).metrics["test"]["recall"]
        for name, weights in (("a", "class_weight={malignant: 50}"), ("b", "class_weight={benign: 50}"))
    ]
    assert recalls[0] < recalls[1]


@pytest.fixture
def model():
    torch.manual_seed(0)
    return MLP((3,), 2, [4])


def test_penalties_add_up_over_weights_and_leave_biases_out(model):
    hidden, output = model.layers[1].weight, model.layers[3].weight
    assert Regularizer(Penalty(l1=0.1), model).term().item() == pytest.approx(
        0.1 * (hidden.abs().sum() + output.abs().sum()).item()
    )
    assert Regularizer(Penalty(l2=0.5, layers=["hidden"]), model).term().item() == pytest.approx(
        0.5 * hidden.square().sum().item()
    )
    assert Regularizer(Penalty(l2=0.5, layers=["layers.3"]), model).term().item() == pytest.approx(
        0.5 * output.square().sum().item()
    )


def test_max_norm_shortens_what_is_too_long_and_nothing_else(model):
    with torch.no_grad():
        model.layers[1].weight.mul_(10)[0].mul_(1e-3)
    before = model.layers[1].weight.clone()
    Regularizer(Penalty(max_norm=0.5), model).after_step([])
    norms = model.layers[1].weight.norm(dim=1)
    assert norms.max().item() == pytest.approx(0.5, rel=1e-5)
    assert torch.equal(model.layers[1].weight[0], before[0])


def test_the_proximal_step_is_a_soft_threshold():
    layer = nn.Linear(3, 1)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[0.5, -0.05, -0.3]]))
    Regularizer(Penalty(l1=1.0, proximal=True), layer).after_step([torch.optim.SGD(layer.parameters(), lr=0.1)])
    assert layer.weight.tolist()[0] == pytest.approx([0.4, 0.0, -0.2])


def test_a_penalty_makes_weights_smaller_and_is_no_part_of_the_logged_loss(dlrun):
    free = dlrun("trainer.epochs=3", into="free")
    held = dlrun("trainer.epochs=3", "penalty.l2=0.05", into="held")
    from safetensors.torch import load_file

    norms = [load_file(e.folder / "model.safetensors")["layers.1.weight"].norm().item() for e in (free, held)]
    assert norms[1] < 0.6 * norms[0]
    first = [float((e.folder / "history.csv").read_text().splitlines()[1].split(",")[2]) for e in (free, held)]
    assert abs(first[0] - first[1]) < 0.5
