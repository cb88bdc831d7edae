"""`dlrun export run=<run folder>`: the network in a form that other programs read, checked to give the same scores."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from dlrun.config.schema import Precision
from dlrun.data.rows import cut
from dlrun.errors import Mistake, choose, one_line
from dlrun.fitted import Fitted
from dlrun.runs.load import load
from dlrun.store.files import replacing, writing
from dlrun.tensors import Inputs, InputSpec

Answer = Callable[[Inputs], Tensor]
TOLERANCE = 1e-4  # largest difference of a score, relative to the largest score
ROWS = 16  # that both are asked


def export(
    format: str,  # noqa: A002 (the name on the command line)
    run: str = "latest",
    output: str | None = None,
    allow_targets: list[str] | None = None,
    config_dir: str | None = None,
) -> int:
    """Write the network of a run; the file appears only when it has given the same scores as the run.

    What goes in is what the network reads, after the preprocessing; what comes out are raw scores (logits), any number
    of rows at once.

    Args:
        format: `onnx`, `torch` (a program of torch.export, which needs no dlrun), or `state_dict` (weights by name).
        run: a run folder, or `latest`.
        output: the file; None: model.onnx, model.pt2 or model.pt in the run folder.
        allow_targets: your own packages, if the run's model or preprocessing is from one of them.
        config_dir: your own groups (`--config-dir`); the packages that they name are trusted like allow_targets.

    Raises:
        Mistake: the run has no network, a package is missing, or the exported network says something else.
    """
    choose(format, FORMATS, "format")
    fitted = load(run, "cpu", tuple(allow_targets or ()), config_dir)
    if not isinstance(fitted.model, nn.Module):
        kind = type(fitted.model).__name__
        raise Mistake(f"export: {fitted.folder} holds a {kind} of scikit-learn, no network; skops reads model.skops")
    suffix, write = FORMATS[format]
    path = fitted.folder.path / f"model{suffix}" if output is None else Path(output).expanduser()
    inputs = example(fitted)
    with replacing(path) as part:
        with writing(path):
            answer = write(fitted, inputs, part)
        difference = check(fitted, answer, inputs)
    print(f"{fitted.folder} as {format}: {path}")
    print(f"in: {_shapes(inputs)} (preprocessed); out: rows × {fitted.task.width}")
    if fitted.runtime.precision is Precision.bf16:
        print("computed in float32; the run itself computed in bf16")
    print(f"checked on {ROWS} and on 3 random rows: scores differ by {difference:.1e} (tolerance {TOLERANCE:g})")
    return 0


def example(fitted: Fitted) -> Inputs:
    """Return random inputs (ROWS, …), by branch where there are several, of the kind that the network reads: the same
    ones each time.
    """
    generator = torch.Generator().manual_seed(0)
    dtype = next(fitted.model.parameters()).dtype
    inputs = {name: _random(spec, dtype, generator) for name, spec in fitted.specs.items()}
    return inputs if len(inputs) > 1 else next(iter(inputs.values()))


def _random(spec: InputSpec, dtype: torch.dtype, generator: torch.Generator) -> Tensor:
    shape = (ROWS, *spec.shape)
    if spec.vocabulary is not None:
        return torch.randint(1, spec.vocabulary, shape, generator=generator)
    return torch.rand(shape, generator=generator, dtype=dtype)


def _shapes(inputs: Inputs) -> str:
    """Return what goes in, in words: the shape and dtype of each branch, by its name where there are several."""
    branches = {"": inputs} if isinstance(inputs, Tensor) else inputs
    each = [
        f"{name} {' × '.join(map(str, ('rows', *rows.shape[1:])))} ({str(rows.dtype).removeprefix('torch.')})".strip()
        for name, rows in branches.items()
    ]
    return ", ".join(each)


def _dynamic(inputs: Inputs, rows: object) -> object:
    """Return which dimension of the inputs is free: their rows."""
    return {0: rows} if isinstance(inputs, Tensor) else {name: {0: rows} for name in inputs}


def check(fitted: Fitted, answer: Answer, inputs: Inputs) -> float:
    """Return the largest difference of the exported network's scores from the run's, relative to the largest.

    Raises:
        Mistake: it is larger than the tolerance.
    """
    largest = 0.0
    for rows in (inputs, next(cut(inputs, 3))):
        with torch.inference_mode():
            expected = fitted.model(rows)
        difference = (answer(rows) - expected).abs().max() / expected.abs().max().clamp(min=1.0)
        largest = max(largest, difference.item())
    if not largest <= TOLERANCE:
        raise Mistake(f"export: the exported network says something else (scores differ by {largest:.1e})")
    return largest


class ByTarget(nn.Module):
    """A network that gives the scores of each of several targets, one after the other.

    Args:
        model: that gives them side by side.
        widths: of each target's.
    """

    def __init__(self, model: nn.Module, widths: list[int]):
        super().__init__()
        self.model, self.widths = model, widths

    def forward(self, inputs: Inputs) -> tuple[Tensor, ...]:
        """Return scores (n, width) for each target."""
        return self.model(inputs).split(self.widths, dim=1)


def by_target(fitted: Fitted) -> nn.Module:
    """Return the network, with an output for each target where there are several."""
    widths = [shape[0] for shape in fitted.task.outputs.values()]
    return fitted.model if len(widths) == 1 else ByTarget(fitted.model, widths).eval()


def write_onnx(fitted: Fitted, inputs: Inputs, path: Path) -> Answer:
    """Write ONNX by PyTorch's exporter; return what answers with it, by onnxruntime."""
    try:
        import onnx  # noqa: F401 (the exporter needs it)
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise Mistake(f"export: format=onnx needs {error.name}: pip install onnx onnxscript onnxruntime") from error
    outputs = ["scores"] if len(fitted.task.outputs) == 1 else list(fitted.task.outputs)
    with _explained("onnx"), quietly():
        program = torch.onnx.export(
            by_target(fitted), (inputs, {}), dynamo=True, dynamic_shapes=(_dynamic(inputs, "rows"),), verbose=False,
            input_names=["inputs"] if isinstance(inputs, Tensor) else list(inputs), output_names=outputs,
        )  # fmt: skip
        assert program is not None  # as with dynamo it is
        program.save(str(path), external_data=False)
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def answer(rows: Inputs) -> Tensor:
        named = {"inputs": rows} if isinstance(rows, Tensor) else rows
        with _explained("onnx"):
            scores = session.run(None, {name: tensor.numpy() for name, tensor in named.items()})
        return torch.cat([torch.from_numpy(own) for own in scores], dim=1)

    return answer


def write_torch(fitted: Fitted, inputs: Inputs, path: Path) -> Answer:
    """Write a program of torch.export; return what answers with it, read back."""
    with _explained("torch"), quietly():
        program = torch.export.export(
            by_target(fitted), (inputs,), dynamic_shapes=(_dynamic(inputs, torch.export.Dim("rows")),)
        )
        with open(path, "wb") as file:
            torch.export.save(program, file)
    with open(path, "rb") as written:
        module = torch.export.load(written).module()

    def answer(rows: Inputs) -> Tensor:
        scores = module(rows)
        return (scores if isinstance(scores, Tensor) else torch.cat(list(scores), dim=1)).detach()

    return answer


def write_state_dict(fitted: Fitted, inputs: Inputs, path: Path) -> Answer:
    """Write the weights by name; return what answers with them, as `torch.load(…, weights_only=True)` reads them."""
    torch.save(fitted.model.state_dict(), path)
    model = copy.deepcopy(fitted.model)
    for parameter in model.parameters():
        parameter.data.zero_()
    model.load_state_dict(torch.load(path, weights_only=True))
    model.eval()

    def answer(rows: Inputs) -> Tensor:
        with torch.inference_mode():
            return model(rows)

    return answer


FORMATS: dict[str, tuple[str, Callable[[Fitted, Inputs, Path], Answer]]] = {
    "onnx": (".onnx", write_onnx), "torch": (".pt2", write_torch), "state_dict": (".pt", write_state_dict),
}  # fmt: skip


@contextmanager
def quietly() -> Iterator[None]:
    """Keep back the exporters' warnings about themselves."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _explained(form: str) -> Iterator[None]:
    """Turn what PyTorch's exporters raise about a network that they cannot follow into a Mistake."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:  # they raise all kinds of their own
        raise Mistake(
            f"export: this network cannot be exported as {form} ({one_line(str(error))[:160]}); format=state_dict "
            "always works"
        ) from error
