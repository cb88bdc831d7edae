"""How overrides are written: names and texts that Hydra's grammar does not take as they stand, and hints to type."""

from __future__ import annotations

import itertools
import json
import math
import re
import shlex
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import OmegaConf

from dlrun.errors import Mistake

# Their values may be any text (a column "Time (min)", a file "houses (1).csv"), so what Hydra cannot parse is quoted.
LITERAL_KEYS = (
    "data.path",
    "data.path_valid",
    "data.path_test",
    "data.target",
    "data.target_separator",
    "data.text",
    "data.time",
    "data.positive",
    "data.decimal",
    "data.thousands",
    "data.quote",
    "data_dir",
    "output_dir",
    "sweep_dir",
    "name",
    "note",
)
NAME_KEYS = ("data.target", "data.text", "data.time", "name", "note")  # 1e5, 007 and true are names there
LIST_KEYS = ("data.target", "data.drop", "data.inputs", "data.missing_values", "data.classes")  # of names
DICT_KEYS = (
    "data.target",
    "data.columns",
    "data.dates",
    "data.scale",
    "data.split.test.by",
    "data.split.valid.by",
)  # by name


def quote_literal(override: str) -> str:
    """Return `data.target=Time (min)` as `data.target='Time (min)'`, and likewise the names in lists and groups of
    keys; anything that Hydra's grammar takes as the person means it stays as it is.
    """
    key, equals, value = override.partition("=")
    place, value = key.lstrip("+"), value.strip()
    if not equals or place not in {*LITERAL_KEYS, *LIST_KEYS, *DICT_KEYS}:
        return override
    try:
        parsed = OverridesParser.create().parse_override(override)
        if parsed.is_sweep_override():
            return override
        readable, meant = True, parsed.value()
    except HydraException:
        readable, meant = False, None
    if place in LIST_KEYS and value.startswith("[") and value.endswith("]"):
        if isinstance(meant, list) and all(isinstance(item, str) for item in meant):
            return override
        return f"{key}=[{','.join(_quoted(_unquoted(item)) for item in _split(value[1:-1]))}]"
    if place in DICT_KEYS and value.startswith("{") and value.endswith("}"):
        if isinstance(meant, dict) and all(isinstance(name, str) for name in meant):
            return override
        return f"{key}={_quoted(json.dumps(_pairs(value[1:-1], place), ensure_ascii=False))}"
    if readable and (isinstance(meant, str | dict | list) or place not in NAME_KEYS):
        return override
    if readable and meant is None and place != "data.target":
        return override
    return f"{key}={_quoted(value)}"


def named_pairs(text: object) -> object:
    """Return the group of keys that `quote_literal` has written as one text; anything else as it is."""
    if not isinstance(text, str) or not text.startswith("{"):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def hint(key: str, value: str | list[str] | dict[str, object]) -> str:
    """Return an override as a person can type it: `data.drop=[x]`, `'data.columns={T (degC): ignore}'`.

    Args:
        key: of the config.
        value: a text, a list of names, or names and what is to hold of them.
    """
    if isinstance(value, list):
        written = f"[{', '.join(map(_written, value))}]"
    elif isinstance(value, dict):
        written = "{" + ", ".join(f"{_written(name)}: {_written(inner)}" for name, inner in value.items()) + "}"
    else:
        written = _written(value)
    override = f"{key}={written}"
    return override if re.fullmatch(r"[\w.,=\[\]%/+:-]+", override) else shlex.quote(override)


def _written(value: object) -> str:
    """Return a name as it can stand in a list, in quotes where it needs them."""
    text = str(value)
    plain = text == text.strip() and not re.search(r"[,\[\]{}\"\\:=]|^'", text) and text != ""
    return text if plain else '"' + text.replace('"', '\\"') + '"'


def _quoted(text: str) -> str:
    """Return a text in the quotes of Hydra's grammar."""
    escaped = re.sub(r"(\\*)'", r"\1\1\\'", text)
    escaped = re.sub(r"(\\+)$", r"\1\1", escaped)
    return f"'{escaped}'"


def _unquoted(text: str) -> str:
    """Return a text without the quotes that a person has put around it."""
    text = text.strip()
    for mark in "\"'":
        if len(text) > 1 and text.startswith(mark) and text.endswith(mark):
            return re.sub(r"\\([\"'])", r"\1", text[1:-1])
    return text


def _split(text: str) -> list[str]:
    """Return the items between commas, but for commas in quotes and in brackets that close."""
    items, start, depth, mark = [], 0, 0, None
    for i, letter in enumerate(text):
        if mark is not None:
            if letter == mark and text[i - 1] != "\\":
                mark = None
        elif letter in "\"'" and not text[start:i].strip():
            mark = letter
        elif letter in "([{":
            depth += any(close in text[i:] for close in ")]}")
        elif letter in ")]}":
            depth = max(0, depth - 1)
        elif letter == "," and depth == 0:
            items.append(text[start:i])
            start = i + 1
    items.append(text[start:])
    return [item for item in items if item.strip()]


def _pairs(text: str, place: str) -> dict[str, object]:
    """Return names and what is to hold of them; numbers are numbers where the columns are scaled."""
    pairs: dict[str, object] = {}
    for item in _split(text):
        item = item.strip()
        quoted = re.match(r"(\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*')\s*:", item)
        if quoted:
            name, value = quoted[1], item[quoted.end() :]
        elif place == "data.dates":  # formats hold colons
            name, _, value = item.partition(": ") if ": " in item else item.partition(":")
        else:
            name, _, value = item.rpartition(":")
        pairs[_unquoted(name)] = _number(_unquoted(value)) if place == "data.scale" else _unquoted(value)
    return pairs


def _number(text: str) -> object:
    try:
        return float(text)
    except ValueError:
        return text


READ_OTHERWISE = ("true", "false", "null", "nan", "inf")  # words that Hydra takes for no text
GRID_LIMIT = 100_000  # settings in a sweep; a longer one is a slip


def settings_of(sweep: Any) -> list[dict[str, str]]:
    """Return the settings of an experiment's `sweep`: a grid {key: [values]}, or a list of settings [{key: value}].

    Raises:
        Mistake: it is neither.
    """
    plain = OmegaConf.to_container(sweep, resolve=True) if OmegaConf.is_config(sweep) else sweep
    if plain is None:
        return []
    if isinstance(plain, dict) and plain and all(isinstance(values, list) and values for values in plain.values()):
        keys = [str(key) for key in plain]
        if math.prod(map(len, plain.values())) > GRID_LIMIT:
            raise Mistake(f"sweep: has more than {GRID_LIMIT:,} settings")
        grid = itertools.product(*plain.values())
        return [dict(zip(keys, map(written, values), strict=True)) for values in grid]
    if isinstance(plain, list) and plain and all(isinstance(one, dict) and one for one in plain):
        return [{str(key): written(value) for key, value in one.items()} for one in plain]
    raise Mistake(
        "sweep: a grid {optimizer.lr: [0.1, 0.01]} or a list of settings [{model: mlp}, {model: cnn}] belongs here"
    )


def written(value: Any) -> str:
    """Return a value as it is written in an override."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, list):
        return f"[{','.join(map(written, value))}]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{written(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, int | float):
        return str(value)
    text = str(value)
    plain = re.fullmatch(r"[^\W\d][\w/]*", text) and text.lower() not in READ_OTHERWISE
    return text if plain else _quoted(text)
