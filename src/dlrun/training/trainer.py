"""The one training loop."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import safetensors.torch
import torch
from torch import Tensor, nn

from dlrun.data.reading.read_ahead import ahead
from dlrun.data.split import Data, Split
from dlrun.errors import Mistake
from dlrun.models.summary import count_parameters, largest_values
from dlrun.training.checkpoints import Every
from dlrun.training.early_stopping import EarlyStopping, Stopper
from dlrun.training.penalties import Regularizer
from dlrun.training.schedules import Schedule
from dlrun.training.state import Progress

GATHERED_VALUES = 2**20  # inputs that are put into order and turned into floats at once
EVALUATED_ROWS = 1024  # the most rows that are evaluated at once,
EVALUATED_VALUES = 2**22  # fewer where they become more values than these on their way, but a batch at least
FEW_VALUES = 2**16  # inputs that no layer makes 64 times as large
CORES = os.cpu_count() or 1


@dataclass
class Learner:
    """What is trained, and by what: the network, its loss, optimizer, schedule, and penalty on the weights."""

    model: nn.Module
    loss: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: Schedule | None
    regularizer: Regularizer | None


@dataclass
class Training:
    """A training under way: all that changes while it runs, and so all that a checkpoint holds.

    Attributes:
        learner: network, loss, optimizer and schedule.
        progress: where it stands.
        stopper: the counters of early stopping, or None.
        best: the best weights so far; empty where the last are kept.
        means: the running means of this epoch.
        state: of a recurrent network that carries it on (`stateful`), after the last batch; None: it begins at zero.
    """

    learner: Learner
    progress: Progress
    stopper: Stopper | None
    best: dict[str, Tensor]
    means: RunningMeans
    state: list | None = None

    def restore_best(self) -> None:
        """Put the best weights into the network, where they were kept."""
        if self.best:
            self.learner.model.load_state_dict(self.best)


@dataclass
class Trainer:
    """Trains a network by gradient descent.

    Args:
        epochs: the most epochs; 0 trains nothing.
        batch_size: rows in a batch; the last, smaller batch of an epoch is kept unless `drop_last`.
        shuffle: whether each epoch has its own order of rows, a pure function of seed and epoch.
        drop_last: whether a last batch of fewer rows is left out.
        steps_per_epoch: optimizer steps in an epoch, going on with newly shuffled rows if need be; None: one pass.
        grad_clip: largest norm of the gradient of all parameters together; None: no limit.
        accumulate: batches whose gradients are averaged before a step.
        early_stopping: when to stop; None: never, and the last weights are kept.
        stateful: whether a recurrent network carries its state on from row to row, in order: through the training rows
            of an epoch, on into the validation rows, and from there into the test rows.
        max_minutes: when to stop for lack of time; what has been learned is evaluated. None: no limit.
        checkpoint_every: how often all that a resume needs is saved.

    Raises:
        Mistake: a number out of its range.
    """

    model_class: ClassVar[type] = nn.Module
    resumes: ClassVar[bool] = True

    epochs: int = 30
    batch_size: int = 32
    shuffle: bool = True
    drop_last: bool = False
    steps_per_epoch: int | None = None
    grad_clip: float | None = None
    accumulate: int = 1
    early_stopping: EarlyStopping | None = field(default_factory=EarlyStopping)
    stateful: bool = False
    max_minutes: float | None = None
    checkpoint_every: Every = field(default_factory=Every)

    def __post_init__(self):
        least = {"epochs": 0, "batch_size": 1, "steps_per_epoch": 1, "accumulate": 1}
        for name, smallest in least.items():
            value = getattr(self, name)
            if value is not None and value < smallest:
                raise Mistake(f"trainer.{name} is {value}: it must be at least {smallest}")
        for name in ("grad_clip", "max_minutes"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise Mistake(f"trainer.{name} is {value}: it must be above 0, or null for no limit")
        if self.stateful and (self.shuffle or self.batch_size != 1):
            raise Mistake(
                "trainer.stateful: each row goes on where the one before it stopped; set trainer.shuffle=false and "
                "trainer.batch_size=1"
            )

    def fit(
        self,
        training: Training,
        data: Data,
        *,
        seed: int,
        precision: str,
        on_step: Callable[[Training], str | None],
        on_epoch: Callable[[Training, dict[str, float]], str | None],
    ) -> Progress:
        """Train `training.learner` in place, on data that are on its device already, from where `training` stands.

        Args:
            seed: of the order of rows and of everything random inside the network.
            precision: fp32, fp64 or bf16.
            on_step: called after every step; what it returns, if anything, is the status to stop with at once.
            on_epoch: called after every epoch with its logged values; what it returns, if anything, is the status to
                stop with.

        Returns:
            Where training ended. The network holds the last weights; `training.restore_best()` gives the best.
        """
        model, loss_function, optimizer, schedule, regularizer = vars(training.learner).values()
        progress, means = training.progress, training.means
        dtype, autocast = dtype_of(model), autocast_of(model, precision)
        before, started = progress.seconds, time.perf_counter()
        batches_per_epoch, parameters = self.batches(len(data.train)), list(model.parameters())

        while progress.status == "running" and progress.epochs < self.epochs:
            if progress.batch == 0:  # else this is a resume, and the generators stand where they stood
                progress.epoch = progress.epochs + 1
                seed_generators(mixed_seed(seed, progress.epoch))
                training.state = None
                means.clear()
            model.train()
            for inputs, targets in self._batches(data.train, seed, progress, dtype):
                with autocast:
                    scores = self._forward(training, inputs)
                    loss = loss_function(scores, targets)
                cost = loss + regularizer.term() if regularizer else loss  # the penalty is no part of what is logged
                (cost / self.accumulate if self.accumulate > 1 else cost).backward()
                means.add(loss.detach(), scores.detach(), targets)
                progress.batch += 1
                if progress.batch % self.accumulate and progress.batch < batches_per_epoch:
                    continue  # gradients add up until the step
                if self.grad_clip is not None:
                    nn.utils.clip_grad_norm_(parameters, self.grad_clip)
                progress.lr = optimizer.param_groups[0]["lr"]
                optimizer.step()
                for parameter in parameters:  # optimizer.zero_grad() does the same, and takes a tenth of a small step
                    parameter.grad = None
                if regularizer:
                    regularizer.after_step(progress.lr)
                if schedule:
                    schedule.after_step()
                progress.step += 1
                progress.seconds = before + time.perf_counter() - started
                if stop := on_step(training):
                    progress.status = stop
                    return progress

            logged = {"epoch": progress.epoch, "lr": progress.lr, **means.result("train")}
            logged |= self.validate(training, data.valid, precision)
            progress.epochs, progress.batch = progress.epoch, 0
            self._judge(training, logged)
            if schedule and progress.status == "running":
                schedule.after_epoch(logged)
            progress.seconds = before + time.perf_counter() - started
            if (stop := on_epoch(training, logged)) and progress.status == "running":
                progress.status = stop

        if progress.status == "running":
            progress.status = "finished"
        if progress.status == "finished" and progress.has_grown:
            progress.status = "diverged"
        return progress

    def _forward(self, training: Training, inputs: Tensor) -> Tensor:
        """Raw scores; a stateful network reads on from the state of the batch before, which no gradient reaches."""
        if not self.stateful:
            return training.learner.model(inputs)
        scores, state = training.learner.model.with_state(inputs, training.state)
        training.state = detached(state)
        return scores

    def _judge(self, training: Training, logged: dict[str, float]) -> None:
        """Whether the epoch was the best so far, the last, or a divergence."""
        progress, stopper = training.progress, training.stopper
        progress.loss = logged["train/loss"]
        progress.first_loss = progress.loss if progress.first_loss is None else progress.first_loss
        if not all(math.isfinite(logged[name]) for name in ("train/loss", "valid/loss") if name in logged):
            progress.status = "diverged"
            return
        improved = stopper is None or stopper.improves(logged[stopper.settings.monitor], progress.epoch)
        restores = stopper is not None and stopper.settings.restore_best
        if improved or not restores:
            progress.best_epoch = progress.epoch
        if improved and restores:
            state = training.learner.model.state_dict()
            training.best = {name: value.clone() for name, value in state.items()}
        if stopper is not None and stopper.stops:
            progress.status = "finished"

    def check(self, training: Training, data: Data) -> None:
        """Refuse a training that this trainer cannot do.

        Raises:
            Mistake: `stateful`, and the network has no state to carry on, or the rows are not in order.
        """
        if not self.stateful:
            return
        if not hasattr(training.learner.model, "with_state") or data.spec.vocabulary is not None:
            raise Mistake("trainer.stateful: needs a recurrent network (model=rnn, lstm or gru) and a series")
        numbers = np.concatenate([rows.row_numbers for rows in data.splits().values()])
        if (np.diff(numbers) < 0).any():
            raise Mistake(
                "trainer.stateful: the rows are not in order; take data.split.test.by=last and data.split.valid.by=last"
            )

    def device_for(self, chosen: torch.device) -> torch.device:
        """Where this trainer works, of the device that was chosen."""
        return chosen

    def weights(self, model: nn.Module) -> tuple[str, bytes]:
        """The format and content of the file that holds the weights."""
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
        return "safetensors", safetensors.torch.save(tensors)

    def parameters(self, model: nn.Module) -> int:
        """Trainable parameters."""
        return count_parameters(model)

    def batches(self, rows: int) -> int:
        """Batches in an epoch over `rows` training rows."""
        if self.steps_per_epoch:
            return self.steps_per_epoch * self.accumulate
        return rows // self.batch_size if self.drop_last else math.ceil(rows / self.batch_size)

    def steps(self, rows: int) -> int:
        """Optimizer steps in an epoch over `rows` training rows."""
        return math.ceil(self.batches(rows) / self.accumulate)

    def _batches(
        self, split: Split, seed: int, progress: Progress, dtype: torch.dtype
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of an epoch that are still to be seen, in an order that seed and epoch alone decide."""
        order = self.order(len(split), seed, progress.epoch).to(split.targets.device)
        order = order[progress.batch * self.batch_size :]
        if not len(order):  # a resume after the last batch
            return
        gathered = max(1, GATHERED_VALUES // (values_of(split) * self.batch_size)) * self.batch_size
        groups = order.split(gathered)
        # Targets are kept until the epoch ends: gathered piece by piece, they would lie between the blocks of memory
        # that inputs were in, and these could not be used again.
        targets = split.targets.index_select(0, order).split(gathered)
        pieces = ((split.transform(stored, dtype), t) for stored, t in zip(split.read(groups), targets, strict=True))
        if len(groups) > 1 and split.in_memory and split.targets.is_cpu and torch.get_num_threads() == 1 and CORES > 1:
            pieces = ahead(pieces)  # by another core than the one that trains
        for inputs, answers in pieces:
            batches = zip(inputs.split(self.batch_size), answers.split(self.batch_size), strict=True)
            for batch, answer in batches:  # one at a time, so that a resume finds the generators where they stood
                yield split.augment(batch) if split.augment else batch, answer

    def order(self, rows: int, seed: int, epoch: int) -> Tensor:
        """The row indices of an epoch, one after the other; batches are cut from it."""
        whole = self.steps_per_epoch is not None or self.drop_last
        wanted = self.batches(rows) * self.batch_size if whole else rows
        if not self.shuffle:
            return torch.arange(wanted) % rows
        generator = torch.Generator().manual_seed(mixed_seed(seed, epoch))
        passes = [torch.randperm(rows, generator=generator) for _ in range(math.ceil(wanted / rows))]
        return torch.cat(passes)[:wanted]

    def validate(self, training: Training, split: Split | None, precision: str) -> dict[str, float]:
        """Loss and metrics of the validation rows, as `valid/…`; nothing where there are none."""
        if split is None:
            return {}
        model = training.learner.model
        if self.stateful:
            scores, _ = self._scores_in_order(model, split, precision, training.state)
        else:
            scores = self.scores(model, split, precision)
        metrics = training.means.epoch_metrics(scores, split.targets, "valid")
        loss = training.learner.loss(scores, split.targets).item()
        return {"valid/loss": loss} | {f"valid/{name}": value for name, value in metrics.items()}

    def all_scores(self, model: nn.Module, splits: dict[str, Split], precision: str) -> dict[str, Tensor]:
        """The raw scores of every split; a stateful network carries its state from each into the next."""
        if not self.stateful:
            return {name: self.scores(model, rows, precision) for name, rows in splits.items()}
        found, state = {}, None
        for name, rows in splits.items():
            found[name], state = self._scores_in_order(model, rows, precision, state)
        return found

    def scores(self, model: nn.Module, split: Split, precision: str) -> Tensor:
        """The raw scores (n, outputs) of all rows of `split`, in evaluation mode."""
        model.eval()
        dtype = dtype_of(model)
        with torch.inference_mode(), autocast_of(model, precision):
            at_once = self._evaluated_at_once(model, split, dtype)
            chunks = (model(split.transform(inputs, dtype)) for inputs in split.chunks(at_once))
            return collected(chunks, len(split)).to(dtype)

    def _evaluated_at_once(self, model: nn.Module, split: Split, dtype: torch.dtype) -> int:
        """How many rows of `split` are evaluated together.

        What a layer gives for so many is at most 16 MB (float32). Memory for 32 MB and more is given back to the system
        after each use, which clears it before the next: twice the time for a CNN.
        """
        if len(split) * values_of(split) <= FEW_VALUES:
            return len(split)
        first = torch.zeros(1, dtype=torch.int64, device=split.targets.device)
        row = split.transform(next(split.read([first])), dtype)
        return max(self.batch_size, min(EVALUATED_ROWS, EVALUATED_VALUES // largest_values(model, row)))

    def _scores_in_order(
        self, model: nn.Module, split: Split, precision: str, state: list | None
    ) -> tuple[Tensor, list | None]:
        """The raw scores (n, outputs) of all rows of `split`, read one after the other from `state` on, and the state
        after the last."""
        model.eval()
        dtype = dtype_of(model)
        scores = []
        with torch.inference_mode(), autocast_of(model, precision):
            for row in split.transform(split.stored(), dtype).split(1):
                score, state = model.with_state(row, state)
                scores.append(score)
        return torch.cat(scores).to(dtype), state


class RunningMeans:
    """Loss and metrics over the batches of an epoch, as they were when each batch was seen (Keras's way).

    The tensors stay on the device and are looked at once, at the end.

    Args:
        epoch_metrics: metrics of (scores, targets, split name).
    """

    def __init__(self, epoch_metrics: Callable[[Tensor, Tensor, str], dict[str, float]]):
        self.epoch_metrics = epoch_metrics
        self.clear()

    def clear(self) -> None:
        """Begin an epoch."""
        self.losses: list[Tensor] = []
        self.scores: list[Tensor] = []
        self.targets: list[Tensor] = []

    def add(self, loss: Tensor, scores: Tensor, targets: Tensor) -> None:
        """Take a batch: its mean loss (), scores (n, outputs) and targets."""
        self.losses.append(loss)
        self.scores.append(scores)
        self.targets.append(targets)

    def result(self, split: str) -> dict[str, float]:
        """The means, as `<split>/loss` and `<split>/<metric>`; the loss is weighted by the rows of each batch."""
        sizes = torch.tensor([len(t) for t in self.targets], dtype=torch.float64)
        loss = (torch.stack(self.losses).cpu().double() * sizes).sum() / sizes.sum()
        metrics = self.epoch_metrics(torch.cat(self.scores), torch.cat(self.targets), split)
        return {f"{split}/loss": loss.item()} | {f"{split}/{name}": value for name, value in metrics.items()}


def collected(chunks: Iterator[Tensor], rows: int) -> Tensor:
    """One tensor (rows, outputs) of chunks of it.

    Each is copied to its place at once: kept, they would lie between the large blocks that a network uses and gives
    back, and these could not be used again for the next chunk.
    """
    found, start = None, 0
    for chunk in chunks:
        found = chunk.new_empty(rows, *chunk.shape[1:]) if found is None else found
        found[start : start + len(chunk)] = chunk
        start += len(chunk)
    return found


def values_of(split: Split) -> int:
    """How many numbers the inputs of a row are."""
    return max(1, math.prod(split.inputs.shape[1:]))


def detached(state):
    """A state of tensors, in whatever lists and tuples, cut off from the gradients of what led to it."""
    return state.detach() if isinstance(state, Tensor) else type(state)(map(detached, state))


def seed_generators(seed: int) -> None:
    """Seed the generators that are in use; torch.manual_seed looks for every kind of device, for a millisecond."""
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(seed)
    if torch.backends.mps.is_available():
        torch.mps.manual_seed(seed)


def mixed_seed(seed: int, epoch: int) -> int:
    """A seed for an epoch, far from those of other seeds and epochs."""
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0] >> 1)


def dtype_of(model: nn.Module) -> torch.dtype:
    """The floating-point type of the network's parameters."""
    return next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.float32)


def autocast_of(model: nn.Module, precision: str):
    """bfloat16 autocast on the network's device under `precision=bf16`, else nothing."""
    if precision != "bf16":
        return nullcontext()
    device = next((p.device.type for p in model.parameters()), "cpu")
    return torch.autocast(device, dtype=torch.bfloat16)
