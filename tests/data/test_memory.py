"""Free memory is what the process may have: the machine's, or less where its cgroup allows less."""

from pathlib import Path

import pytest

from dlrun.data.reading import memory

GIB = 2**30


def cgroup(folder: Path, names: tuple[str, str], limit: str, used: int, stat: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in zip((*names, "memory.stat"), (limit, str(used), stat), strict=True):
        (folder / name).write_text(f"{value}\n")


VERSIONS = {
    "0::/job/step\n": ("", ("memory.max", "memory.current"), "inactive_file"),
    "4:cpu,memory:/job/step\n": (
        "memory",
        ("memory.limit_in_bytes", "memory.usage_in_bytes"),
        "total_inactive_file",
    ),
}


@pytest.mark.parametrize("membership", VERSIONS)
def test_the_tightest_cgroup_above_a_process_says_what_is_free(tmp_path, membership):
    tree, names, cached = VERSIONS[membership]
    (tmp_path / "membership").write_text(membership)
    cgroup(tmp_path / tree / "job" / "step", names, str(4 * GIB), GIB, f"{cached} 0")
    cgroup(tmp_path / tree / "job", names, str(2 * GIB), GIB, f"anon 1\n{cached} {GIB // 2}")
    assert memory._of_cgroups(tmp_path, tmp_path / "membership") == 1.5 * GIB


def test_a_cgroup_without_a_limit_leaves_the_machines_memory(tmp_path, monkeypatch):
    (tmp_path / "membership").write_text("0::/\n")
    cgroup(tmp_path, ("memory.max", "memory.current"), "max", GIB, "inactive_file 0")
    assert memory._of_cgroups(tmp_path, tmp_path / "membership") is None
    monkeypatch.setattr(memory, "_of_machine", lambda: 3 * GIB)
    monkeypatch.setattr(memory, "_of_cgroups", lambda *_: None)
    assert memory.free_memory() == 3 * GIB
    monkeypatch.setattr(memory, "_of_cgroups", lambda *_: GIB)
    assert memory.free_memory() == GIB
