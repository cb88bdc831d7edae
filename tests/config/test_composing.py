"""Composing: the quick path gives what Hydra gives, values come back as they were written, types are converted."""

import re
from dataclasses import fields
from typing import get_type_hints

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dlrun.config.build import check_types
from dlrun.config.compose import Composer
from dlrun.config.grammar import quote_literal, settings_of, written
from dlrun.config.schema import KEYS, Key, identifying, key_of
from dlrun.errors import Mistake
from dlrun.runs.recipe import plain
from dlrun.training.trainer import Trainer

CHOICES = st.sampled_from(
    ["model=cnn", "model=lstm", "data=iris", "optimizer=sgd", "scheduler=one_cycle", "solver=lbfgs"]
)
VALUES = st.sampled_from([
    "trainer.epochs=5", "optimizer.lr=0.1", "seed=7", "trainer.early_stopping=null", "data.split.test.fraction=0.3",
    "penalty.layers=[hidden]", "class_weight={a: 2}", "trainer.early_stopping.patience=3", "name=a run", "cv.folds=3",
    "trainer.checkpoint_every={minutes: 2}", "threads=2", "precision=fp64", "plots=[]", "data.split.valid=null",
])  # fmt: skip
QUIET = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

PLAIN = (
    st.none()
    | st.booleans()
    | st.integers(-(10**6), 10**6)
    | st.floats(-1e6, 1e6)
    | st.text("aZ_09 ',\\:{}[]é", max_size=8)
)
NESTED = st.recursive(
    PLAIN,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abc_", min_size=1, max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


@settings(QUIET, max_examples=12)
@given(st.lists(CHOICES, max_size=2), st.lists(VALUES, max_size=4))
def test_the_quick_path_of_the_composer_gives_what_hydra_itself_gives(choices, values):
    overrides, composer = [*choices, *values], Composer()
    try:
        Composer()._compose_by_hydra([quote_literal(override) for override in overrides])
    except Mistake as mistake:
        with pytest.raises(Mistake, match=re.escape(str(mistake))):
            composer.compose(overrides)
        return
    composer.compose(overrides)  # from here on, what is chosen has been composed before
    quick = composer.compose(overrides)
    by_hydra, chosen = Composer()._compose_by_hydra([quote_literal(override) for override in quick.overrides])
    assert plain(quick.config) == plain(Composer()._finish(by_hydra)) or quick.choices.get("solver") == "converged"
    assert quick.choices == chosen or quick.choices["solver"] == "converged"


@QUIET
@given(NESTED)
def test_a_value_written_as_an_override_is_read_back_by_hydra_as_it_was(value):
    read = OverridesParser.create().parse_override(f"key={written(value)}").value()
    assert read == value or (isinstance(value, float) and read == pytest.approx(value))


@QUIET
@given(st.text(min_size=1).filter(lambda text: text.isprintable() and text == text.strip()))
def test_any_text_can_be_the_value_of_a_key_that_takes_any_text(text):
    parsed = OverridesParser.create().parse_override(quote_literal(f"name={text}"))
    read = parsed.value()
    assert parsed.key_or_group == "name" and (not isinstance(read, str) or read in (text, text.strip("'\"")))


@QUIET
@given(st.dictionaries(st.sampled_from([f.name for f in fields(Trainer)]), NESTED, max_size=3))
def test_settings_of_any_shape_are_converted_to_their_types_or_are_one_line(values):
    hints = {name: hint for name, hint in get_type_hints(Trainer).items() if name in values}
    try:
        converted = check_types(hints, values, "trainer")
    except Mistake as mistake:
        assert "\n" not in str(mistake) and "trainer." in str(mistake)
        return
    assert set(converted) == set(values)


@QUIET
@given(NESTED)
def test_a_sweep_of_any_shape_is_settings_or_one_line(value):
    try:
        found = settings_of(value)
    except Mistake as mistake:
        assert "\n" not in str(mistake)
        return
    assert all(isinstance(name, str) and isinstance(text, str) for one in found for name, text in one.items())


def test_a_key_is_for_what_it_or_the_nearest_key_above_it_is_declared_for():
    assert key_of("launcher.anything").changes == "place" and key_of("trainer.epochs").resumable
    assert key_of("optimizer.lr") == Key() and key_of("data.file.url").from_folder == "refused"
    assert identifying({"seed": 1, "quiet": True, "jobs": 2}) == {"seed": 1}
    assert all(KEYS[name].from_folder == "dropped" for name in ("allow_targets", "output_dir", "sweep_dir"))
