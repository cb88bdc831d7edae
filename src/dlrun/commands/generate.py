"""`dlrun generate run=<run folder>`: new lines, character by character, by a model of the next character."""

from __future__ import annotations

import numpy as np
import torch

from dlrun.data.schema import CharacterSchema
from dlrun.errors import Mistake, did_you_mean
from dlrun.fitted import Fitted
from dlrun.runs.load import load

LONGEST = 60  # characters, after which a line is cut


def generate(
    run: str = "latest",
    temperature: list[float] | float = 1.0,
    count: int = 10,
    start: str | None = None,
    seed: int = 0,
    device: str = "auto",
    allow_targets: list[str] | None = None,
    config_dir: str | None = None,
) -> int:
    """Write `count` lines at each temperature.

    Args:
        run: the folder of a run on characters (data=names), or `latest`.
        temperature: what the scores are divided by before a character is drawn from their softmax: below 1 the likely
            ones become likelier, above 1 the lines become wilder. One, or a list.
        count: lines at each temperature.
        start: what every line begins with; None: as the lines begin that the run was trained on.
        seed: of what is drawn.
        device: `auto`, `cpu`, `cuda`, …
        allow_targets: your own packages, if the run's model or preprocessing is from one of them.
        config_dir: your own groups (`--config-dir`); the packages that they name are trusted like allow_targets.

    Raises:
        Mistake: the run is of other data, a number out of its range, or a start that the model cannot read.
    """
    temperatures = temperature if isinstance(temperature, list) else [temperature]
    if not all(isinstance(t, int | float) and t > 0 for t in temperatures) or count < 1:
        raise Mistake(f"generate: temperature is {temperature} and count {count}: they must be above 0")
    fitted = load(run, device, tuple(allow_targets or ()), config_dir)
    characters = fitted.preprocessing.schema().characters
    if characters is None:
        raise Mistake(f"generate: {fitted.folder} is no model of the next character (those are trained on data=names)")
    for t in temperatures:
        generator = torch.Generator().manual_seed(seed)
        print(f"temperature {t:g}")
        for _ in range(count):
            print(f"  {write_line(fitted, characters, t, start, generator)}")
    return 0


def write_line(
    fitted: Fitted, characters: CharacterSchema, temperature: float, start: str | None, generator: torch.Generator
) -> str:
    """Return one line, begun by `start` or as the lines of the training data begin.

    Raises:
        Mistake: `start` is shorter than the model's window, or has a character that it does not know.
    """
    alphabet, window = characters.alphabet, fitted.inputs.shape[0]
    ids = {"\n" if name == "end" else name: i for i, name in enumerate(alphabet)}
    line = _beginning(characters, generator) if start is None else start.lower()
    if len(line) < window:
        raise Mistake(f"start: '{start}' is too short; the model reads {window} characters")
    unknown = [character for character in line if character not in ids]
    if unknown:
        raise Mistake(f"start: the model knows no '{unknown[0]}'{did_you_mean(unknown[0], alphabet)}")
    while len(line) < LONGEST:
        read = np.array([[ids[character] for character in line[-window:]]])
        scores = fitted.scores({"": fitted.rows(read)})[""][0].cpu().double()
        drawn = int(torch.multinomial(torch.softmax(scores / temperature, dim=0), 1, generator=generator))
        if alphabet[drawn] == "end":
            break
        line += alphabet[drawn]
    return line


def _beginning(characters: CharacterSchema, generator: torch.Generator) -> str:
    """Return a beginning of the training data's lines, drawn by how often it occurs."""
    beginnings = characters.beginnings
    counts = torch.tensor(list(beginnings.values()), dtype=torch.float64)
    return list(beginnings)[int(torch.multinomial(counts, 1, generator=generator))]
