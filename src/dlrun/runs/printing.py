"""What a person reads: the data, the model, and the table of results."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from dlrun.data.split import Data
from dlrun.models.summary import Layer
from dlrun.runs.assemble import Assembled
from dlrun.runs.evaluation import reported_name
from dlrun.store.folder import RunFolder
from dlrun.store.record import Record


def describe_data(name: str, data: Data) -> list[str]:
    """Return lines on rows, shapes, classes, and what was inferred."""
    sizes = {split: len(rows) for split, rows in data.splits().items()}
    rows = ", ".join(f"{n:,} {split}" for split, n in sizes.items())
    shapes = {branch: "×".join(map(str, spec.shape)) for branch, spec in data.specs.items()}
    shape = " + ".join(f"{branch} {own}" if len(shapes) > 1 else own for branch, own in shapes.items())
    whole = sum(sizes.values()) - (sizes["valid"] if data.validates_on_test else 0)
    lines = [f"data {name}: {whole:,} rows ({rows}), inputs {shape}, {data.task.summary}"]
    return lines + [f"  {note}" for note in data.notes]


def print_model(console: Console, name: str, layers: list[Layer], parameters: int) -> None:
    """Print the layers with output shapes and parameters."""
    table = Table(title=f"model {name}: {parameters:,} parameters", title_justify="left", box=None, pad_edge=False)
    table.add_column("layer")
    table.add_column("output shape")
    table.add_column("parameters", justify="right")
    for layer in layers:
        table.add_row(f"{layer.name} ({layer.kind})", "×".join(map(str, layer.output_shape)), f"{layer.parameters:,}")
    console.print(table)


def print_results(console: Console, metrics: dict[str, Any]) -> None:
    """Print loss and metrics of each split, the baseline's beside them."""
    splits = [s for s in map(reported_name, ("train", "valid", "test")) if s in metrics]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("", no_wrap=True)
    for split in splits:
        table.add_column(split, justify="right")
        table.add_column("baseline", justify="right", style="dim")
    names = [n for n in metrics[splits[0]] if not n.endswith("confusion_matrix")]
    for name in names:
        cells = [number(source.get(name)) for s in splits for source in (metrics[s], metrics["baseline"][s])]
        table.add_row(name, *cells)
    console.print(table)
    own = {split: reasons for split, reasons in metrics["undefined"].items() if not split.startswith("baseline")}
    reasons = {f"{name} ({split}): {why}" for split, undefined in own.items() for name, why in undefined.items()}
    for reason in sorted(reasons):
        console.print(f"– {reason}", style="dim")


def number(value: float | None) -> str:
    """Return a figure for a person: four decimals, four digits of a very large or small one; – where there is none."""
    if value is None:
        return "–"
    if abs(value) < 1e-12:  # what rounding leaves of a 0
        return "0.0000"
    return f"{value:.4f}" if 1e-3 <= abs(value) < 1e4 else f"{value:.4g}"


def introduce(console: Console, assembled: Assembled) -> None:
    """Print what will be trained on what."""
    recipe, data, training = assembled.recipe, assembled.data, assembled.training
    data_name, model_name = recipe.names
    console.print("\n".join(describe_data(data_name, data)), markup=False)
    if assembled.layers:
        print_model(console, model_name, assembled.layers, training.learner.parameters)
    if recipe.choices.get("solver") == "converged" and "solver=converged" not in recipe.overrides:
        console.print("trained to the minimum by all rows at once (solver=none: by gradient descent)")
    if getattr(assembled.fitter, "early_stopping", None) and training.stopper is None:
        console.print("no validation rows: training runs for all epochs and keeps the last weights")
    if data.test is None:
        console.print("no test rows: every figure is of rows that were trained or validated on")
    if recipe.output.dry_run:
        console.print("dry run: nothing was trained")


def report(console: Console, folder: RunFolder, metrics: dict[str, Any]) -> None:
    """Print the table of results and where everything is."""
    if metrics["status"] == "interrupted":
        console.print(f"stopped by trainer.max_minutes; to go on: dlrun resume={folder}", markup=False)
    if metrics["status"] == "diverged":
        console.print(
            f"diverged in epoch {metrics['epochs']}: the loss became NaN or infinite, or grew beyond all bounds; the "
            "best weights before that, if any, are evaluated (a lower learning rate may help)"
        )
    print_results(console, metrics)
    parameters = "–" if metrics["parameters"] is None else f"{metrics['parameters']:,}"
    console.print(
        f"parameters {parameters}   best epoch {metrics['best_epoch']} of {metrics['epochs']}   "
        f"{metrics['fit_seconds']:.1f} s"
    )
    if Record.read(metrics, str(folder)).still_improving:
        more = 2 * int(metrics["epochs"])
        console.print(f"still improving at the last epoch: more of them, trainer.epochs={more}, may help")
    console.print(str(folder), markup=False)
