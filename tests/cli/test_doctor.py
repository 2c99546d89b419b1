"""`crosstask doctor` and shell completion."""

import json
import shutil
import subprocess
from collections import namedtuple
from pathlib import Path

import pytest

from crosstask.cli.main import COMMANDS, main
from crosstask.engine import diagnosis
from crosstask.engine.cores import Cores
from crosstask.engine.diagnosis import BREAKS, FINE, HINT


def test_this_machine(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    code = main(["doctor", "--json", "--folder", str(tmp_path)])
    findings = {f["what"]: f for f in json.loads(capsys.readouterr().out)}
    assert {"python", "torch", "timm", "device", "cores", "threads", "bf16", "extras", "disk"} <= {
        *findings
    }
    assert findings["torch and torchvision"]["level"] == FINE  # or no test would run
    broken = [f["what"] for f in findings.values() if f["level"] == BREAKS]
    assert code == (1 if broken else 0)
    for finding in findings.values():
        assert bool(finding["remedy"]) == (finding["level"] != FINE), finding


def test_a_broken_machine_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    Usage = namedtuple("Usage", "total used free")
    monkeypatch.setattr(diagnosis.shutil, "disk_usage", lambda _: Usage(10**12, 10**12, 10**6))
    assert main(["doctor", "--folder", str(tmp_path)]) == 1
    assert "broken." in capsys.readouterr().out
    assert main(["doctor", "--folder", str(tmp_path), "--json"]) == 1
    disk = next(f for f in json.loads(capsys.readouterr().out) if f["what"] == "disk")
    assert disk["level"] == BREAKS and "a checkpoint does not fit" in disk["remedy"]


def test_packages_that_are_missing_or_old() -> None:
    versions = {"timm": "0.6.0", "kornia": None}
    found = {f.what: f for f in diagnosis.packages(lambda name: versions.get(name, "99.0"))}
    assert found["timm"].level == BREAKS and "0.6.0, but >=1.0.20" in found["timm"].text
    assert found["kornia"].text == "is missing" and "pip install" in found["kornia"].remedy
    assert found["safetensors"].level == FINE
    assert "gradio" not in found  # an extra is no requirement


def test_torch_and_torchvision_of_two_builds() -> None:
    assert "one is for cpu" in diagnosis.torch_pair("2.11.0+cpu", "0.26.0+cu130").text
    wrong = diagnosis.torch_pair("1.0.0", diagnosis.installed("torchvision"))
    assert wrong.level == BREAKS and "torchvision wants torch" in wrong.text
    assert diagnosis.torch_pair("2.11.0", None).level == BREAKS


def test_malicious_releases() -> None:
    assert diagnosis.lightning_release("2.6.2").level == BREAKS
    assert diagnosis.lightning_release("2.6.6").level == FINE


def test_extras_that_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosis, "EXTRAS", {"a": ("json",), "b": ("no_such_module",)})
    finding = diagnosis.extras()
    assert finding.level == HINT and finding.remedy == 'pip install "crosstask[b]"'
    assert "installed: a" in finding.text


def test_cores_and_what_limits_them() -> None:
    quota = Cores(64, 16, 8, 2.5, Path("/sys/fs/cgroup/job/cpu.max"))
    finding = diagnosis.core_limits(quota, {})
    assert finding.level == FINE and "2 of 64 usable" in finding.text
    for part in ("affinity allows 16", "/sys/fs/cgroup/job/cpu.max allows 2.5", "of 8 physical"):
        assert part in finding.text
    assert diagnosis.core_limits(Cores(4, 4, 4), {}).text == "4 of 4 usable (no limit)"
    granted = diagnosis.core_limits(Cores(4, 4, 4), {"CROSSTASK_CORES": "2"}).text
    assert granted == "2 of 4 usable (CROSSTASK_CORES is 2)"


def test_threads_that_spin_or_are_too_many() -> None:
    four, passive = Cores(4, 4, 4), {"OMP_WAIT_POLICY": "PASSIVE"}
    fine = diagnosis.threads(four, 4, passive)
    assert fine.level == FINE and "without spinning" in fine.text and not fine.remedy
    spinning = diagnosis.threads(four, 4, {"OMP_WAIT_POLICY": "ACTIVE"})
    assert spinning.level == HINT and "OMP_WAIT_POLICY" in spinning.remedy
    assert diagnosis.threads(four, 1, {}).level == FINE  # one thread waits for nobody
    many = diagnosis.threads(Cores(64, 64, 64, 2.0), 64, passive)
    assert many.level == HINT and "more threads than the 2 usable cores" in many.text
    assert many.remedy == "unset OMP_NUM_THREADS, or set it to 2"


def test_folders_and_disks(tmp_path: Path) -> None:
    assert diagnosis.writable("output folder", tmp_path / "new" / "run").level == FINE
    (tmp_path / "file").write_text("")
    assert diagnosis.writable("output folder", tmp_path / "file" / "run").level == BREAKS
    levels = [diagnosis.disk_space(tmp_path, n, 2.0).level for n in (10**7, 10**9, 10**10)]
    assert levels == [BREAKS, HINT, FINE]


def test_bash_completes(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    if shutil.which("bash") is None:
        pytest.skip("no bash")
    assert main(["completion", "bash"]) == 0
    (tmp_path / "c.sh").write_text(capsys.readouterr().out)

    def complete(*words: str) -> list[str]:
        line = " ".join(f"'{w}'" for w in words)
        ask = (
            f"source {tmp_path}/c.sh; COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; "
            'cd /; _crosstask; printf "%s\\n" "${COMPREPLY[@]}"'
        )
        return subprocess.run(
            ["bash", "-c", ask], capture_output=True, text=True, check=True
        ).stdout.split()

    assert complete("crosstask", "pre") == ["predict"]
    assert set(complete("crosstask", "")) == {*COMMANDS}
    assert "procedural.supervised" in complete("crosstask", "train", "proc")
    found = complete("crosstask", "train", "x", "--architecture", "dense")
    assert found == ["densemtl", "densemtl_linear"]


def test_zsh_script_and_other_shells(capsys: pytest.CaptureFixture) -> None:
    assert main(["completion", "zsh"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("#compdef crosstask\n") and "'predict:" in text
    assert text.count("'") == 2 * (len(COMMANDS) + 1)  # a quote in a help text would break it
    assert main(["completion", "fish"]) == 2
