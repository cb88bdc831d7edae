"""`dlrun run=<run folder> [overrides]`: repeat a run into a new folder, and say what differs."""

from __future__ import annotations

from dlrun.config.compose import compose
from dlrun.errors import Mistake
from dlrun.runs.recipe import read_recipe
from dlrun.runs.run import run
from dlrun.store.command_line import trusted_overrides
from dlrun.store.finding import open_run
from dlrun.store.folder import STARTED_IN, RunFolder
from dlrun.sweeps.plan import has_parts


def repeat(path: str, changes: list[str], config_dir: str | None) -> int:
    """Compose anew from the command line of the run in folder `path`, run it, and compare the two.

    Returns:
        The exit code of the new run.

    Raises:
        Mistake: no run folder, or overrides that cannot be.
    """
    before = open_run(path)
    overrides = trusted_overrides(before) + changes
    kind = before.record().kind
    if kind != "run":
        from dlrun.sweeps.sweep import run_whole

        return run_whole(overrides, kind == "sweep", config_dir)
    composed = compose(overrides, config_dir)
    if has_parts(composed.config):
        raise Mistake("run=: repeats one run; parts (repeats, cv.folds, learning_curve, sweep) go without it")
    ended = run(read_recipe(composed))
    if ended is not None and not composed.config.quiet:
        print("\n".join(compare(before, RunFolder(ended.folder), changes)))
    return ended.exit_code if ended else 0


def compare(before: RunFolder, after: RunFolder, changes: list[str]) -> list[str]:
    """Return lines on whether two runs have the same bits and, if not, what differs between their surroundings."""
    then, now = before.digests(), after.digests()
    differing = [name for name in then if then[name] != now[name]]
    if not differing:
        return [f"the same bits as {before}"]
    lines = [f"other bits than {before}: {', '.join(differing)}"]
    if changes:
        lines.append(f"  changed on the command line: {' '.join(changes)}")
    old, new = before.environment(), after.environment()
    changed = [key for key in new if old.get(key) != new.get(key) and key != STARTED_IN]
    lines += [f"  {key}: {old.get(key)} then, {new.get(key)} now" for key in changed]
    return lines
