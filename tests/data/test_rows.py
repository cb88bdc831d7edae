"""Rows are read in one way, wherever they lie; the inputs of a network may have several branches."""

import numpy as np
import pytest
import torch
from torch import nn

from dlrun.config.schema import Precision
from dlrun.data.rows import BranchRows, TensorRows, only_spec, rows_of
from dlrun.data.split import Split
from dlrun.data.transforms import ByBranch, as_float, as_tokens
from dlrun.errors import Mistake
from dlrun.runtime import Runtime
from dlrun.training.batches import Batching
from dlrun.training.network import Network


class TwoBranches(nn.Module):
    """Adds up what a linear layer makes of numbers and what an embedding makes of words."""

    def __init__(self):
        super().__init__()
        self.numbers, self.words = nn.Linear(3, 2), nn.Embedding(5, 2)

    def forward(self, inputs):
        """Return scores (n, 2)."""
        return self.numbers(inputs["numbers"]) + self.words(inputs["words"]).sum(dim=1)


@pytest.fixture
def two_branches() -> Split:
    generator = torch.Generator().manual_seed(0)
    numbers = torch.randn(50, 3, generator=generator, dtype=torch.float64)
    words = torch.randint(5, (50, 4), generator=generator)
    rows = rows_of({"numbers": numbers, "words": words}).to(torch.device("cpu"), torch.float32)
    targets = (numbers.sum(dim=1) > 0).long()
    return Split(rows, targets, np.arange(50), transform=ByBranch({"numbers": as_float, "words": as_tokens}))


def test_a_network_with_two_branches_is_trained_on_batches_of_both_and_scores_all_rows(two_branches):
    torch.manual_seed(0)
    model = TwoBranches()
    runtime = Runtime(torch.device("cpu"), Precision.fp32, 1)
    network = Network(model, nn.CrossEntropyLoss(), runtime, [torch.optim.SGD(model.parameters(), lr=0.5)])
    before = network.loss_of(network.scores({"train": two_branches})["train"], two_branches.targets)
    batching, seen = Batching(8), []
    for epoch in range(20):
        network.begin_epoch(resumed=False)
        for batch in batching.batches(two_branches, 0, epoch, 0, runtime):
            assert set(batch.inputs) == {"numbers", "words"} and len(batch.inputs["words"]) == len(batch.targets)
            assert batch.inputs["words"].dtype == torch.int64
            network.step(batch, 1, last=True)
            seen.append(len(batch.targets))
    assert seen == [8, 8, 8, 8, 8, 8, 2] * 20
    scores = network.scores({"train": two_branches})["train"]
    inputs = {"numbers": two_branches.stored()["numbers"], "words": two_branches.stored()["words"]}
    torch.testing.assert_close(scores, model(inputs).detach())
    assert network.loss_of(scores, two_branches.targets) < before / 2


def test_branches_belong_together_row_by_row(two_branches):
    few = two_branches.rows.take(np.array([7, 3]))
    assert len(few) == 2 and torch.equal(few.stored()["words"], two_branches.stored()["words"][[7, 3]])
    read = list(two_branches.read([torch.tensor([3]), torch.tensor([7])]))
    assert torch.equal(read[1]["numbers"], few.stored()["numbers"][:1])
    assert [len(chunk["words"]) for chunk in two_branches.chunks(20)] == [20, 20, 10]
    assert two_branches.values_in_row == 7
    assert {name: (s.shape, s.dtype) for name, s in two_branches.rows.specs.items()} == {
        "numbers": ((3,), torch.float32), "words": ((4,), torch.int64),
    }  # fmt: skip
    with pytest.raises(ValueError, match="as many rows"):
        BranchRows({"a": TensorRows(torch.zeros(2, 1)), "b": TensorRows(torch.zeros(3, 1))})
    with pytest.raises(Mistake, match="several branches"):
        only_spec(two_branches.rows.specs)
