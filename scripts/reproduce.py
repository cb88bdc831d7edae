"""Run the catalogue of experiments, and set every figure beside the one that the course prints.

    python scripts/reproduce.py                        # all of them, then docs/reproduction.md
    python scripts/reproduce.py 'ztdl/*' mlbd/ridge    # some of them
    python scripts/reproduce.py --seeds 5              # bands: each with five seeds
    python scripts/reproduce.py --page-only            # the page from the runs that there are

What has been run before is not run again, so that a stopped catalogue goes on where it was. The courses' figures are in
scripts/catalogue.yaml; ours are read from the run folders.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import statistics
import time
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import yaml
from safetensors.torch import load_file

import dlrun
from dlrun.config.groups import config_folder
from dlrun.errors import Mistake
from dlrun.store import skops_objects
from dlrun.tasks.metric import higher_is_better

HERE = Path(__file__).resolve().parent
NEAR, MET = 0.05, 0.02  # relative distances from a figure that a course printed once, with no seed


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("patterns", nargs="*", default=["*"], help="experiments, or patterns of them; default: all")
    parser.add_argument("--seeds", type=int, default=1, help="seeds of each row, counted from its own; default: 1")
    parser.add_argument("--folder", type=Path, default=Path("outputs/reproduction"), help="where the runs go")
    parser.add_argument("--page", type=Path, default=HERE.parent / "docs/reproduction.md", help="what is written")
    parser.add_argument("--page-only", action="store_true", help="run nothing")
    asked = parser.parse_args()
    catalogue = yaml.safe_load((HERE / "catalogue.yaml").read_text(encoding="utf-8"))
    check_complete(catalogue)
    if not asked.page_only:
        for name in catalogue:
            if any(fnmatch(name, pattern) for pattern in asked.patterns):
                for number in range(asked.seeds):
                    run_row(name, number, asked.folder / name / f"seed_{number}")
    asked.page.write_text(page(catalogue, asked.folder), encoding="utf-8")
    print(asked.page)


def check_complete(catalogue: dict) -> None:
    """Refuse a catalogue that lacks an experiment, or has one that is not there."""
    root = config_folder() / "experiment"
    there = {file.relative_to(root).with_suffix("").as_posix() for file in root.rglob("*.yaml")}
    if there != set(catalogue):
        raise SystemExit(f"catalogue.yaml and configs/experiment differ in {sorted(there ^ set(catalogue))}")


def run_row(name: str, number: int, place: Path) -> None:
    """Run an experiment with its own seed plus `number`, unless that has been done; record its time or its mistake."""
    record = place / "row.json"
    if record.exists() and "mistake" not in json.loads(record.read_text()):
        return
    shutil.rmtree(place, ignore_errors=True)  # what was stopped half-way begins anew
    file = yaml.safe_load((config_folder() / "experiment" / f"{name}.yaml").read_text(encoding="utf-8"))
    seed = file.get("seed", 0) + number
    print(f"{name} seed {seed}", end=" ", flush=True)
    started = time.perf_counter()
    try:
        run = dlrun.run(f"experiment={name}", f"seed={seed}", f"output_dir={place}", "quiet=true", "plots=[]")
        found = {"folder": str(run.folder.relative_to(place)), "seconds": time.perf_counter() - started}
    except Mistake as mistake:
        found = {"mistake": str(mistake)}
    place.mkdir(parents=True, exist_ok=True)
    record.write_text(json.dumps(found))
    print(found.get("mistake") or f"{found['seconds']:.1f} s")


# --------------------------------------------------------------------------------------------------- reading figures


def figure(run: Path, wanted: str) -> float | None:
    """A figure of a run folder; the mean where it names several parts.

    `test.accuracy` is from metrics.json, `0/test.accuracy` from that of part 0, `fold_*/test.accuracy` the mean over
    folds. Before a colon stands another place to read from, see READERS: `last:train/loss`, `0>weight:output.weight,0`.
    """
    part, _, inner = wanted.rpartition(">") if ">" in wanted else ("", "", wanted)
    reader, _, key = inner.rpartition(":")
    if not part and not reader and "/" in key:
        part, _, key = key.rpartition("/")
    folders = sorted(run.glob(part)) if part else [run]
    values = [READERS[reader](folder, key) for folder in folders]
    values = [value for value in values if value is not None]
    return statistics.fmean(values) if values else None


def from_metrics(run: Path, key: str) -> float | None:
    """A figure of metrics.json, by its path; a list is indexed by numbers."""
    found = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    for step in key.split("."):
        found = found[int(step)] if isinstance(found, list) else (found or {}).get(step)
    return {"finished": 0.0, "diverged": 1.0}.get(found, found)


def root_of(run: Path, key: str) -> float | None:
    """The square root of a figure of metrics.json."""
    return from_metrics(run, key) ** 0.5


def last_epoch(run: Path, key: str) -> float | None:
    """A column of history.csv in the last epoch."""
    return float(pd.read_csv(run / "history.csv")[key].iloc[-1])


def first_epoch(run: Path, key: str) -> float | None:
    """A column of history.csv in the first epoch."""
    return float(pd.read_csv(run / "history.csv")[key].iloc[0])


def weight(run: Path, key: str) -> float:
    """A weight, counted through its flattened tensor: `output.weight,0`."""
    name, _, index = key.partition(",")
    return float(load_file(run / "model.safetensors")[name].flatten()[int(index)])


def coefficient(run: Path, key: str) -> float:
    """An attribute of a scikit-learn estimator: `coef_,0`."""
    name, _, index = key.partition(",")
    file = run / "model.skops"
    return float(getattr(skops_objects.loads(file.read_bytes(), str(file)), name).ravel()[int(index)])


def prediction_at(run: Path, key: str) -> float:
    """What a run with one input x predicts there."""
    return float(dlrun.load(str(run)).predict(pd.DataFrame({"x": [float(key)]}))["prediction"].iloc[0])


def boundary(run: Path, key: str) -> float:
    """Where a logistic regression with one input first says 0.5, on the course's grid of 1,000 points up to `key`."""
    weights = load_file(run / "model.safetensors")
    grid = np.linspace(0, float(key), 1000)
    return float(grid[grid * float(weights["output.weight"][0, 0]) + float(weights["output.bias"][0]) >= 0][0])


def largest(run: Path, key: str) -> float:
    """The largest weight, in its size."""
    return float(max(t.abs().max() for t in load_file(run / "model.safetensors").values()))


READERS: dict[str, Callable[[Path, str], float | None]] = {
    "": from_metrics, "root": root_of, "last": last_epoch, "first": first_epoch, "weight": weight, "coef": coefficient,
    "at": prediction_at, "boundary": boundary, "largest": largest,
}  # fmt: skip


# ----------------------------------------------------------------------------------------------------------- judging


def judge(target: dict, values: list[float], baseline: float | None) -> str:
    """met, near, not met, or (where the course prints nothing) how ours stands to the baseline."""
    kept = [judge_one(target, value, baseline) for value in values]
    if "—" in kept:
        return "—"
    return kept[0] if len(kept) == 1 else f"{sum(k.startswith(('met', 'above')) for k in kept)} of {len(kept)}"


def judge_one(target: dict, value: float, baseline: float | None) -> str:
    """The judgement of one seed's figure."""
    better = 1 if higher_is_better(target["figure"].rpartition(".")[2].rpartition("/")[2]) else -1
    course = target.get("course", target.get("recomputed"))
    if "within" in target:
        return "met" if abs(value - course) <= target["within"] else "not met"
    if "band" in target:
        low, high = target["band"]
        if low <= value <= high:
            return "met"
        return "near" if low - NEAR * abs(low) <= value <= high + NEAR * abs(high) else "not met"
    if course is None:
        if baseline is None:
            return "—"
        return "above its baseline" if better * (value - baseline) > 0 else "not above its baseline"
    distance = abs(value - course) / abs(course)
    if distance <= MET:
        return "met"
    is_a_score = not any(kind in target["figure"] for kind in ("weight:", "coef:", "confusion_matrix"))
    if is_a_score and better * (value - course) > 0:
        return "met (better)"
    return "near" if distance <= NEAR else "not met"


# -------------------------------------------------------------------------------------------------------------- page


def page(catalogue: dict, folder: Path) -> str:
    """docs/reproduction.md: a table per course, then what explains the rows that differ."""
    lines = [PREFACE.format(versions=versions())]
    unavailable = []
    for course in dict.fromkeys(name.split("/")[0] for name in catalogue):
        lines += [f"\n## {course}\n", HEADER]
        reasons = []
        for name, row in catalogue.items():
            if not name.startswith(f"{course}/"):
                continue
            records = {p.parent: json.loads(p.read_text()) for p in sorted(folder.glob(f"{name}/seed_*/row.json"))}
            runs = [place / record["folder"] for place, record in records.items() if "folder" in record]
            if not runs:
                mistake = next((r["mistake"] for r in records.values()), "it has not been run")
                lines.append(f"| `{name}` | | {said(row)} | — | | | | not run here |")
                unavailable.append(f"- `{name}`: {mistake.split(' (')[0]}")
                continue
            seconds = statistics.median(record["seconds"] for record in records.values() if "folder" in record)
            lines += rows_of(name, row, runs, seconds)
            if row.get("because"):
                reasons.append(f"- `{name}`: {row['because']}")
        lines += ["", *reasons] if reasons else []
    lines += ["\n## Not run here\n", "Their data, or folders of images, were not at hand:\n", *unavailable]
    return "\n".join(lines) + "\n"


def rows_of(name: str, row: dict, runs: list[Path], seconds: float) -> list[str]:
    """The lines of one experiment, one for each of its figures."""
    lines = []
    for number, target in enumerate(row["figures"]):
        values = [value for run in runs if (value := figure(run, target["figure"])) is not None]
        beside = target.get("baseline") or baseline_of(target["figure"])
        baseline = figure(runs[0], beside) if beside else None
        first = number == 0
        parameters = parameters_of(row, runs[0]) if first else ""
        lines.append(
            f"| {f'`{name}`' if first else ''} | {target.get('name', target['figure'])} | {course_of(target)} "
            f"| {ours(values)} | {'' if baseline is None else short(baseline)} | {parameters} "
            f"| {f'{seconds:.0f}' if first else ''} | {judge(target, values, baseline) if values else 'not met'} |"
        )
    return lines


def baseline_of(wanted: str) -> str | None:
    """Where the baseline of a figure of metrics.json stands."""
    if ":" in wanted or "." not in wanted or "confusion" in wanted or "out_of_fold" in wanted:
        return None
    part, _, key = wanted.rpartition("/")
    return f"{part}/baseline.{key}" if part else f"baseline.{key}"


def parameters_of(row: dict, run: Path) -> str:
    """Trainable parameters, beside the course's where it prints them."""
    inner = [run, *sorted(p.parent for p in run.rglob("metrics.json"))]
    found = next((m for m in (from_metrics(p, "parameters") for p in inner) if m is not None), None)
    if found is None:
        return ""
    wanted = row.get("parameters")
    return f"{int(found):,}" + ("" if wanted in (None, found) else f" (course {wanted:,})")


def course_of(target: dict) -> str:
    """What the course prints, recomputed figures in brackets, and the band."""
    shown = "" if target.get("course") is None else str(target["course"])
    if "recomputed" in target:
        shown += f" [{target['recomputed']}]"
    if "band" in target:
        shown += f" [{target['band'][0]}–{target['band'][1]}]"
    if "within" in target:
        shown += " *exact*"
    return shown.strip()


def said(row: dict) -> str:
    """What the course prints, of a row that was not run."""
    return ", ".join(course_of(target) for target in row["figures"] if course_of(target))


def ours(values: list[float]) -> str:
    """The mean, and the range of several seeds."""
    if not values:
        return "none"
    if len(values) == 1:
        return short(values[0])
    return f"{short(statistics.fmean(values))} ({short(min(values))}–{short(max(values))})"


def short(value: float) -> str:
    """A figure with as many digits as matter."""
    return f"{value:.6g}" if abs(value) < 1e5 else f"{value:.2e}"


def versions() -> str:
    """Where this was run."""
    return f"dlrun {dlrun.__version__}, PyTorch {torch.__version__}, Python {platform.python_version()}, CPU"


PREFACE = """# The courses, reproduced

Every experiment of five courses is a file in `configs/experiment/`; `dlrun experiment=ztdl/moons_relu` runs one, and
`dlrun -m 'experiment=glob(ztdl/*)'` a course. This page is written by `python scripts/reproduce.py` from the run
folders ({versions}).

*Course* is what the course prints, from one run without a seed mostly; in brackets, what was recomputed with other
means or the band of several seeds; *exact* is what the data alone decide. *Ours* is the figure of the run (with several
seeds their mean and range), *baseline* the majority class, the mean or the last value on the same rows. A printed
figure counts as *met* within 2 % or if ours is better, as *near* within 5 %; with several seeds the last column counts
those that met it. An empty course column: the course prints nothing, or its figure was not at hand."""
HEADER = (
    "| experiment | figure | course | ours | baseline | parameters | seconds | |\n|---|---|---|---|---|---|---|---|"
)

if __name__ == "__main__":
    main()
