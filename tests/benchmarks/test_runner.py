"""The runner: what goes wrong in a peer is a row with its reason; results are kept and gone on with."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks.runner import roster, run
from benchmarks.runner.process import PeerError, PeerProcess
from benchmarks.runner.record import Row, Settings, Status, read, write
from benchmarks.runner.run import begun, chosen, measured
from benchmarks.runner.schedule import Schedule, compared
from benchmarks.suites import registry

PLAIN, ABSENT, ODD = "tests.benchmarks.peers.plain", "tests.benchmarks.peers.absent", "tests.benchmarks.odd"
SETTINGS = Settings(device="cpu", seconds=0.02, timeout_s=30.0)


def row(case: str, peer: str = PLAIN, **settings: Any) -> Row:
    entries = [roster.entry(peer)]
    schedule = Schedule(ODD, "tiny", dataclasses.replace(SETTINGS, **settings), {})
    return schedule.rows(registry.cases(ODD)[case], entries)[0]


def test_good() -> None:
    got = row("good")
    assert (got.status, got.reason, got.error, got.reference) == (Status.OK, "", 0.0, "case")
    assert got.first_s is not None and got.first_s > 0
    assert got.steady is not None and got.memory is not None
    assert 0 < got.steady.least_s <= got.steady.lower_quartile_s <= got.steady.median_s
    assert got.steady.median_s <= got.steady.upper_quartile_s
    assert got.steady.calls >= len(got.steady.turns_s) >= 3
    assert 0 < got.memory.idle_bytes <= got.memory.peak_bytes


def test_check_takes_no_times() -> None:
    entries, infos = [roster.entry(PLAIN)], {}
    schedule = Schedule(ODD, "tiny", dataclasses.replace(SETTINGS, check=True), infos)
    cases = registry.cases(ODD)
    good, wrong, dead, again = [
        schedule.rows(cases[name], entries)[0] for name in ("good", "wrong", "dies", "good")
    ]
    assert (good.status, good.first_s, good.steady) == (Status.OK, None, None)
    assert [wrong.status, dead.status, again] == [Status.WRONG, Status.FAILED, good]
    assert len(schedule.pool) == 1 and set(infos) == {PLAIN}
    for process in schedule.pool.values():
        process.close()


@pytest.mark.parametrize(
    ("case", "status", "reason"),
    [
        ("wrong", Status.WRONG, "error 1.7e-04, allowed 1e-08"),
        ("other shape", Status.WRONG, "array 0 has shape (3,), expected (2,)"),
        ("other count", Status.WRONG, "1 arrays, expected 2"),
        ("not finite", Status.WRONG, "not finite where the reference is"),
        ("reference fails", Status.FAILED, "no reference: ArithmeticError: no such thing"),
        ("declined", Status.DECLINED, "has no such thing"),
        ("unsupported", Status.DECLINED, "has no such thing"),
        ("raises", Status.FAILED, "ArithmeticError: bad day and night"),
        ("dies", Status.FAILED, "the process ended by signal SIGSEGV"),
        ("dies later", Status.FAILED, "after the first call: the process ended by exit code 3: last words"),
    ],
)
def test_what_goes_wrong_is_a_row(case: str, status: Status, reason: str) -> None:
    got = row(case)
    assert (got.status, got.reason) == (status, reason)
    assert (got.first_s, got.steady, got.memory) == (None, None, None)


def test_what_a_library_prints_does_not_meet_the_protocol() -> None:
    assert row("noisy").status is Status.OK


def test_timeout() -> None:
    got = row("hangs", timeout_s=3.0)
    assert (got.status, got.reason) == (Status.TIMEOUT, "no answer to evaluate in 3 s")


def _is_worker(pid: str) -> bool:
    """Not one of Git's, say, that has ended meanwhile."""
    try:
        return "benchmarks.peers.worker" in Path(f"/proc/{pid}/cmdline").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel of Linux ends the process")
def test_peer_ends_with_a_runner_that_is_killed(tmp_path: Path) -> None:
    """Though its library is busy and does not read that there is no more input."""
    arguments = [
        "--suite",
        ODD,
        "--case",
        "hangs",
        "--peer",
        PLAIN,
        "--size",
        "tiny",
        "--out",
        str(tmp_path / "r"),
    ]
    with subprocess.Popen([sys.executable, "-m", "benchmarks", "run", *arguments], cwd=roster.ROOT) as runner:
        children = Path(f"/proc/{runner.pid}/task/{runner.pid}/children")
        found: list[str] = []
        while not found:
            time.sleep(0.1)
            found = [pid for pid in children.read_text().split() if _is_worker(pid)]
        time.sleep(3.0)  # it is in the call by now, or about to be
        runner.kill()
    peer = Path(f"/proc/{found[0]}")
    for _ in range(100):
        if not peer.exists() or "\nState:\tZ" in (peer / "status").read_text():
            return
        time.sleep(0.1)
    pytest.fail("the peer lives on")


def test_library_that_is_not_installed() -> None:
    got = row("good", ABSENT)
    assert got.status is Status.MISSING
    assert got.reason == "ModuleNotFoundError: No module named 'a_library_that_is_not_installed'"


def test_environment_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(PeerError, match="make bench-peers PEERS=torch") as caught:
        PeerProcess(roster.entry("torch"), device="cpu", x64=True, environments=tmp_path, timeout=1.0)
    assert caught.value.status is Status.MISSING


def test_value_only() -> None:
    got = row("value and gradient")
    assert (got.status, got.note) == (Status.OK, "value only")


def test_without_a_reference_the_peers_are_compared_with_jax() -> None:
    got = row("no reference")
    assert (got.status, got.reference) == (Status.OK, "JAX, float64")


def test_peer_that_does_not_run_on_the_device() -> None:
    schedule = Schedule(ODD, "tiny", dataclasses.replace(SETTINGS, device="gpu"), {})
    got = schedule.rows(registry.cases(ODD)["good"], [roster.entry("numpy")])[0]
    assert (got.status, got.reason) == (Status.DECLINED, "does not run on GPU")


def test_complex_results_are_compared_in_both_parts() -> None:
    assert compared([1 + 1j], [1 + 1j], 1e-8) == (0.0, "")
    assert compared([1 + 2j], [1 + 1j], 1e-8)[1] == "error 1.0e+00, allowed 1e-08"


def test_protocol() -> None:
    """As a program that knows nothing of ours would speak it."""
    requests = [
        {"id": 1, "kind": "start"},
        {"id": 2, "kind": "define", "suite": ODD, "case": "good", "size": "tiny"},
        {"id": 3, "kind": "evaluate", "calls": 2},
        {"id": 4, "kind": "memory"},
        {"id": 5, "kind": "dance"},
    ]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.peers.worker", PLAIN],
        input="".join(json.dumps(each) + "\n" for each in requests),
        capture_output=True,
        text=True,
        cwd=roster.ROOT,
        check=True,
    )
    start, define, evaluate, memory, dance = map(json.loads, done.stdout.splitlines())
    assert start["success"] and start["name"] == "numpy" and set(start["versions"]) == {"python", "numpy"}
    assert define == {"id": 2, "success": True, "note": ""}
    assert [each["name"] for each in evaluate["timings"]] == ["evaluate", "evaluate"]
    assert all(each["nanoseconds"] > 0 for each in evaluate["timings"])
    assert memory["peak_bytes"] >= start["idle_bytes"]
    assert not dance["success"] and dance["error"].startswith("ValueError: expected start, define")


def test_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    begin = begun(path, SETTINGS, resume=False)
    made = dataclasses.replace(begin, rows=(row("good"), row("wrong")), finished="now")
    write(made, path)
    assert read(path) == made
    path.write_text(path.read_text().replace('"schema": 1', '"schema": 7'))
    with pytest.raises(ValueError, match="expected results of schema 1, got 7"):
        read(path)


def test_file_with_unknown_keys_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    write(begun(None, SETTINGS, resume=False), path)
    data = json.loads(path.read_text())
    path.write_text(json.dumps(data | {"mood": "good"}))
    with pytest.raises(ValueError, match=r"unknown keys \['mood'\]"):
        read(path)


def test_resume(tmp_path: Path) -> None:
    """Stopped after a case, it goes on with the next; peers that were not installed are asked again."""
    path = tmp_path / "r.json"
    work, without = chosen([ODD], "*", ["tiny"])
    work = [each for each in work if each.case.name in ("good", "wrong", "declined")]
    assert [each.case.name for each in work] == ["good", "wrong", "declined"] and not without
    entries = [roster.entry(PLAIN), roster.entry(ABSENT)]
    begin = begun(path, SETTINGS, resume=True)
    steps = measured(begin, work, entries)
    stopped, _ = next(steps)
    steps.close()
    write(stopped, path)
    with pytest.raises(ValueError, match="--resume"):
        begun(path, SETTINGS, resume=False)
    with pytest.raises(ValueError, match="expected the settings"):
        begun(path, dataclasses.replace(SETTINGS, seconds=9.0), resume=True)
    results = list(measured(begun(path, SETTINGS, resume=True), work, entries))
    assert [[r.peer for r in rows] for _, rows in results] == [[ABSENT], [PLAIN, ABSENT], [PLAIN, ABSENT]]
    final = results[-1][0]
    assert len(final.rows) == 6 and len({r.key for r in final.rows}) == 6
    assert next(r for r in final.rows if r.case == "good" and r.peer == PLAIN) == stopped.rows[0]


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "sub" / "r.json"
    arguments = ["--suite", ODD, "--case", "good", "--peer", PLAIN, "--seconds", "0.02", "--out", str(out)]
    assert run.main([*arguments, "--size", "tiny", "middle"]) == 0
    assert [r.size for r in read(out).rows] == ["tiny", "middle"]
    assert read(out).finished
    assert run.main(arguments) == 2
    assert "--resume goes on with it" in " ".join(capsys.readouterr().out.split())
    assert run.main([*arguments[:2], "--case", "wrong", "--peer", PLAIN, "--check"]) == 1


@pytest.mark.parametrize("name", ["nothing", "tests.benchmarks"])
def test_suite_that_is_none(name: str) -> None:
    with pytest.raises(ValueError, match="expected a suite among"):
        registry.cases(name)


def test_peer_that_is_none() -> None:
    with pytest.raises(ValueError, match="expected a peer among"):
        roster.entry("nothing")
