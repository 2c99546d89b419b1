"""How many cores this process may use: its affinity and the CPU quotas of its control groups.

Not what `nproc` or `os.cpu_count` say: a container with a quota of two cores sees all cores of its
machine, and threads beyond the quota are put to sleep in the middle of their work.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/")


@dataclass(frozen=True)
class Cores:
    """What limits the cores of a process.

    Attributes:
        machine: cores of the machine, hyper-threads counted.
        affinity: those that the process may run on.
        physical: the affinity's cores with hyper-threads of one core counted once.
        quota: cores' worth of time that the control groups grant, or None without a limit.
        quota_file: the file with that limit.
    """

    machine: int
    affinity: int
    physical: int
    quota: float | None = None
    quota_file: Path | None = None

    @property
    def usable(self) -> int:
        """Processes that can compute at the same time, at least 1; part of a core is not counted."""
        return max(1, self.affinity if self.quota is None else min(self.affinity, int(self.quota)))

    @property
    def threads(self) -> int:
        """Threads for one process that computes alone: two on one physical core gain nothing."""
        return min(self.usable, max(1, self.physical))


def cores(root: Path = ROOT) -> Cores:
    """What this process may use.

    Args:
        root: of the file system, of which /proc and /sys are read.
    """
    machine = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):  # Linux
        allowed = os.sched_getaffinity(0)
    else:  # macOS, Windows
        allowed = set(range(machine))
    limits = list(quotas(root))
    quota, file = min(limits, default=(None, None), key=lambda limit: limit[0] or 0)
    return Cores(machine, len(allowed), physical_cores(allowed, root), quota, file)


def physical_cores(allowed: set[int], root: Path = ROOT) -> int:
    """Cores of `allowed` with hyper-threads of one core counted once; all where it is not known."""
    first = set()
    for number in allowed:
        place = root / f"sys/devices/system/cpu/cpu{number}/topology/thread_siblings_list"
        siblings = _read(place).strip()
        first.add(siblings or str(number))
    return len(first)


def quotas(root: Path = ROOT) -> Iterator[tuple[float, Path]]:
    """(cores, file) of every limit on this process's control groups and the groups above them.

    Both versions of control groups, also side by side. A limit that cannot be read is none.
    """
    groups = _groups(_read(root / "proc/self/cgroup"))
    for version, mount, mount_root in _mounts(_read(root / "proc/self/mountinfo")):
        if version not in groups:
            continue
        top = root / mount.lstrip("/")
        for folder in _upwards(top, groups[version], mount_root):
            limit, file = _limit(version, folder)
            if limit is not None:
                yield limit, file


def _groups(text: str) -> dict[int, str]:
    """{version: path of the process's group} from /proc/self/cgroup."""
    found: dict[int, str] = {}
    for line in text.splitlines():
        number, controllers, path = [*line.split(":", 2), "", ""][:3]
        if number == "0" and not controllers:
            found[2] = path
        elif "cpu" in controllers.split(","):
            found[1] = path
    return found


def _mounts(text: str) -> Iterator[tuple[int, str, str]]:
    """(version, mount point, the group that is mounted there) from /proc/self/mountinfo."""
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        fields, kind = before.split(), after.split()
        if len(fields) < 5 or not kind:
            continue
        mount_root, mount = fields[3], fields[4].replace("\\040", " ")
        if kind[0] == "cgroup2":
            yield 2, mount, mount_root
        elif kind[0] == "cgroup" and "cpu" in kind[-1].split(","):
            yield 1, mount, mount_root


def _upwards(top: Path, group: str, mount_root: str) -> Iterator[Path]:
    """Folders from a group up to the mount point, as far as they are visible.

    In a container the mount shows the container's own group while the path may be the machine's.
    """
    inside = group
    if mount_root != "/" and (group == mount_root or group.startswith(mount_root + "/")):
        inside = group[len(mount_root) :]
    parts = [part for part in inside.split("/") if part]
    if ".." in parts:  # a group outside the process's name space: only the mount point is known
        parts = []
    for depth in range(len(parts), -1, -1):
        yield top.joinpath(*parts[:depth])


def _limit(version: int, folder: Path) -> tuple[float | None, Path]:
    if version == 2:
        file = folder / "cpu.max"
        quota, period = [*_read(file).split(), "", ""][:2]
    else:
        file = folder / "cpu.cfs_quota_us"
        quota, period = _read(file).strip(), _read(folder / "cpu.cfs_period_us").strip()
    if not quota.isdigit() or not period.isdigit() or int(period) == 0:  # "max" and -1: no limit
        return None, file
    return int(quota) / int(period), file


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except (OSError, UnicodeDecodeError):
        return ""
