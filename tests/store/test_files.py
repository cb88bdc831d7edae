"""A file is written whole or not at all, whatever happens meanwhile."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dlrun.store.files import finite, flatten, replacing, write_whole

QUIET = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@QUIET
@given(st.binary(max_size=200), st.binary(max_size=200), st.integers(0, 200))
def test_a_file_holds_the_old_content_or_the_new_and_nothing_else_is_left(tmp_path, old, new, stopped_at):
    target = tmp_path / "file"
    write_whole(target, old)
    with pytest.raises(KeyboardInterrupt), replacing(target) as part:
        part.write_bytes(new[:stopped_at])
        raise KeyboardInterrupt
    assert target.read_bytes() == old
    write_whole(target, new)
    assert target.read_bytes() == new and [path.name for path in tmp_path.iterdir()] == ["file"]


@QUIET
@given(st.recursive(st.integers() | st.text(max_size=3) | st.floats(), lambda inner: st.dictionaries(
    st.text("abc", min_size=1, max_size=2), inner, max_size=3), max_leaves=8))  # fmt: skip
def test_a_nested_config_is_flattened_to_one_value_a_path_and_has_no_infinite_number(value):
    config = {"root": value}
    flat = dict(flatten(config))
    for path, leaf in flat.items():
        node = config
        for key in path.split("."):
            node = node[key]
        assert node == leaf or leaf != leaf
    assert "inf" not in [type(v).__name__ for v in flat.values()]
    assert all(not isinstance(v, float) or abs(v) < float("inf") for v in finite(flat).values())
