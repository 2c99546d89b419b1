"""Cores that a process may use, on made-up file systems."""

import os
from pathlib import Path

import pytest

from crosstask.engine.cores import Cores, cores, physical_cores, quotas

V2 = "25 1 0:22 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = "33 31 0:30 {root} /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
MEMORY = "34 31 0:31 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"


def tree(root: Path, mounts: str, groups: str, files: dict[str, str]) -> Path:
    for name, text in {"proc/self/mountinfo": mounts, "proc/self/cgroup": groups, **files}.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


def found(root: Path) -> dict[str, float]:
    return {str(file.relative_to(root)): limit for limit, file in quotas(root)}


def test_no_control_groups(tmp_path: Path) -> None:
    assert not list(quotas(tmp_path))
    seen = cores(tmp_path)
    assert seen.usable == seen.affinity == len(os.sched_getaffinity(0)) and seen.quota is None


def test_version_2_of_the_group_and_the_groups_above(tmp_path: Path) -> None:
    tree(
        tmp_path,
        V2,
        "0::/user.slice/job.scope\n",
        {
            "sys/fs/cgroup/user.slice/cpu.max": "150000 100000\n",
            "sys/fs/cgroup/user.slice/job.scope/cpu.max": "max 100000\n",
            "sys/fs/cgroup/other/cpu.max": "1000 100000\n",
        },
    )
    assert found(tmp_path) == {"sys/fs/cgroup/user.slice/cpu.max": 1.5}
    assert cores(tmp_path).usable == 1


@pytest.mark.parametrize(("quota", "expected"), [("300000", 3.0), ("-1", None), ("", None)])
def test_version_1(tmp_path: Path, quota: str, expected: float | None) -> None:
    folder = "sys/fs/cgroup/cpu,cpuacct/a/b"
    files = {f"{folder}/cpu.cfs_quota_us": quota, f"{folder}/cpu.cfs_period_us": "100000\n"}
    tree(tmp_path, MEMORY + V1.format(root="/"), "4:memory:/x\n3:cpu,cpuacct:/a/b\n", files)
    limits = found(tmp_path)
    assert limits == ({} if expected is None else {f"{folder}/cpu.cfs_quota_us": expected})


def test_a_container_whose_path_is_that_of_the_machine(tmp_path: Path) -> None:
    """The mount shows the container's own group as its top; /proc tells the machine's path."""
    top = "sys/fs/cgroup/cpu,cpuacct"
    files = {f"{top}/cpu.cfs_quota_us": "50000", f"{top}/cpu.cfs_period_us": "100000"}
    tree(tmp_path, V1.format(root="/docker/abc"), "3:cpu,cpuacct:/docker/abc\n", files)
    assert found(tmp_path) == {f"{top}/cpu.cfs_quota_us": 0.5}
    assert cores(tmp_path).usable == 1  # never none


def test_a_group_outside_the_name_space(tmp_path: Path) -> None:
    files = {"sys/fs/cgroup/cpu.max": "200000 100000", "sys/secret/cpu.max": "100 100000"}
    tree(tmp_path, V2, "0::/../../secret\n", files)
    assert found(tmp_path) == {"sys/fs/cgroup/cpu.max": 2.0}


def test_both_versions_side_by_side_and_the_smaller_wins(tmp_path: Path) -> None:
    old = "sys/fs/cgroup/cpu,cpuacct/j"
    tree(
        tmp_path,
        V1.format(root="/") + V2.replace("/sys/fs/cgroup ", "/sys/fs/cgroup/unified "),
        "1:cpu,cpuacct:/j\n0::/j\n",
        {
            f"{old}/cpu.cfs_quota_us": "800000",
            f"{old}/cpu.cfs_period_us": "100000",
            "sys/fs/cgroup/unified/j/cpu.max": "50000 50000",
        },
    )
    seen = cores(tmp_path)
    assert len(found(tmp_path)) == 2 and seen.quota == 1.0 and seen.usable == 1
    assert seen.quota_file == tmp_path / "sys/fs/cgroup/unified/j/cpu.max"


@pytest.mark.parametrize("text", ["nonsense", "100000", "100000 0", "max", "\x00"])
def test_damaged_files_are_no_limit(tmp_path: Path, text: str) -> None:
    tree(tmp_path, V2 + "short line\n", "0::/\nnonsense\n", {"sys/fs/cgroup/cpu.max": text})
    assert not list(quotas(tmp_path))


def test_hyper_threads(tmp_path: Path) -> None:
    for number in range(4):
        file = tmp_path / f"sys/devices/system/cpu/cpu{number}/topology/thread_siblings_list"
        file.parent.mkdir(parents=True)
        file.write_text(f"{number % 2},{number % 2 + 2}\n")
    assert physical_cores({0, 1, 2, 3}, tmp_path) == 2
    assert physical_cores({0, 2}, tmp_path) == 1
    assert physical_cores({5, 6}, tmp_path) == 2  # not described
    assert Cores(8, 4, 2).usable == 4 and Cores(8, 4, 2).threads == 2
    assert Cores(8, 4, 2, 1.9).threads == 1 and Cores(8, 4, 4, 0.2).usable == 1
