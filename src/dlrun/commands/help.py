"""`dlrun --help`: built from the first comment line of every YAML file, without composing or heavy imports."""

from __future__ import annotations

from pathlib import Path

from dlrun.config.groups import GROUPS, choices_of, chosen_as

USAGE = """dlrun: deep-learning experiments from the command line

  dlrun                                                  an MLP on handwritten digits
  dlrun model=cnn data=mnist                             choose by name
  dlrun data=csv data.path=houses.csv data.target=price  your own table
  dlrun optimizer=sgd optimizer.lr=0.1 trainer.epochs=5  set by path
  dlrun -m model=mlp,cnn 'seed=range(5)'                 every combination; launcher=joblib jobs=2: two at once
  dlrun cv.folds=5 repeats=3                             every figure with its deviation
  dlrun compare outputs                                  which run was best, and how sure is that
  dlrun predict run=latest input=new.csv output=out.csv  what a run says of new rows
  dlrun eval run=latest                                  its figures anew, or on other data: data.path=…
  dlrun plot run=latest plots=[roc,mistakes]             its pictures anew, or those of a job of a sweep
  dlrun report outputs output=report.html                a page of runs with their curves and pictures, to hand in
  dlrun export run=latest format=onnx                    the network for other programs, checked to say the same
  dlrun generate run=latest temperature=0.5              new lines by a model of characters (data=names)
  dlrun list data; dlrun show mlp; dlrun list runs       what there is to choose, and what has been run
  dlrun resume=latest                                    go on where a run or a sweep stopped, to the same bits
  dlrun run=outputs/digits-mlp/…                         repeat a run, and say what differs
  tensorboard --logdir outputs                           look at the runs

Options:
  -h, --help            this page
  --version             the version of dlrun
  -m, --multirun        run every combination of the values given with commas, range() or choice()
  --config-dir FOLDER   a folder with groups of your own, such as FOLDER/model/mine.yaml
  --cfg job             show the composed config and run nothing (--package KEY: a part of it; --resolve: filled in)
  -sc install=bash      print what makes the shell complete names: eval "$(dlrun -sc install=bash)"
"""


def help_text(folder: Path, own: Path | None) -> str:
    """Return usage, every group's choices with a line on each, and the root keys with their defaults.

    Args:
        folder: of our groups.
        own: the user's `--config-dir`, or None.
    """
    lines = [USAGE]
    for group in GROUPS:
        choices = {**choices_of(folder / group), **(choices_of(own / group) if own else {})}
        if choices:
            default = _default(folder, group)
            lines.append(chosen_as(group, "…").removesuffix("…") + (f"  (default: {default})" if default else ""))
            column = max(map(len, choices)) + 2
            lines += [f"  {name:<{column}}{line}".rstrip() for name, line in choices.items()]
            lines.append("")
    lines.append("Keys (key=value; those of a group are shown by: dlrun --cfg job --package model model=cnn)")
    lines += [f"  {line}" for line in _root_keys(folder / "config.yaml")]
    return "\n".join(lines)


def _default(folder: Path, group: str) -> str:
    text = (folder / "config.yaml").read_text(encoding="utf-8")
    defaults = [
        line.partition(":")[2].partition("#")[0].strip()
        for line in text.splitlines()
        if line.startswith(f"  - {group}:")
    ]
    return defaults[0] if defaults and defaults[0] != "null" else ""


def _root_keys(file: Path) -> list[str]:
    """Return the lines of config.yaml that follow its defaults list, as they stand there."""
    lines = file.read_text(encoding="utf-8").splitlines()
    after = next(i for i, line in enumerate(lines) if line.startswith("data:"))
    return [line for line in lines[after:] if line.strip()]
