"""Kills and faults: the scripts beside this folder, as tests."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from faults import FAULTS

TESTS = Path(__file__).parent.parent


def run_script(name, *arguments):
    command = [sys.executable, "-W", "ignore", TESTS / name, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)


def test_nothing_is_lost_when_a_writer_is_killed():
    done = run_script("kills.py", "--kills", "21")
    assert done.returncode == 0, done.stderr
    told = done.stdout.removeprefix("21 kills: 0 lost, 0 wrong reads, max rework ").strip()
    assert told in ("0 segments", "1 segment")


@pytest.fixture(scope="session")
def rows():
    """What came of each fault, in their order."""
    done = run_script("faults.py", "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("number", range(len(FAULTS)), ids=[f"{fault.name}: {fault.command[0]}" for fault in FAULTS])
def test_a_fault_gives_its_exit_code_and_one_line_and_loses_nothing(rows, number):
    fault, row = FAULTS[number], rows[number]
    assert row["fault"] == fault.name
    assert row["code"] == fault.code, row
    assert fault.says in row["message"]
    assert row["lines"] == bool(fault.says), row
    assert row["message"].startswith("mctool: ") == (fault.code != 0)
    assert row["lost"] == 0, row
