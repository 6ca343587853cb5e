"""``python -m benchmarks``, as people call it, and as the documentation shows it."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.errors import BenchmarkError
from benchmarks.options import DOCS, RESULTS
from benchmarks.options import parse as parse_options
from benchmarks.results import Results
from benchmarks.wrk import Load, parse
from servers.programs import find
from tests.hub import heed_signals

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]

PAGES = [ROOT / "docs" / "how-to" / "benchmarks.md", ROOT / "CONTRIBUTING.md"]
COMMANDS = list(
    dict.fromkeys(
        line
        for page in PAGES
        for line in re.findall(r"^\$ (make bench.*|python -m benchmarks.*)$", page.read_text(), re.MULTILINE)
    )
)

WRK = """Running 1s test @ http://127.0.0.1:1/
  Latency Distribution
     50%  493.00us
     75%  758.00us
     90%    1.01ms
     99%    1.25s{}
  52524 requests in 1.00s, 7.56MB read
{}Requests/sec:  52501.74
Transfer/sec:      7.56MB
"""


@pytest.fixture(autouse=True)
def _origin():
    find("nginx")


def arguments_of(command: str) -> list[str]:
    """What `command`, as a page shows it, gives to ``python -m benchmarks``."""
    if command.startswith("make"):
        if not shutil.which("make"):
            pytest.skip("make is missing")
        dry = subprocess.run(
            [*shlex.split(command), "--dry-run", "--no-print-directory"], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        command = dry.stdout.splitlines()[-1]
    return shlex.split(command.partition("-m benchmarks")[2])


def test_the_pages_show_commands():
    assert len(COMMANDS) >= 6


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_documentation(command, tmp_path, monkeypatch):
    """Run with one route; only read, if it would take minutes or write into the documentation."""
    monkeypatch.chdir(tmp_path)
    (config,) = re.findall(r"^```python\n(.*?)^```$", PAGES[0].read_text(), re.DOTALL | re.MULTILINE)
    Path("jupyterhub_config.py").write_text(config.replace("/tmp", str(tmp_path)))
    Path("benchmarks/results").mkdir(parents=True)
    Results(
        {
            "date": "",
            "cores": 2,
            "processor": "",
            "memory_gb": 1,
            "system": "",
            "scale": "tiny",
            "load_before": [0],
            "versions": {},
        }
    ).write(Path("benchmarks/results/results.json"))
    arguments = arguments_of(command)
    options = parse_options(arguments)
    if options.output == DOCS or not (options.report or options.sizes):
        assert options.output in (DOCS, RESULTS)
        return
    if options.backends == ["etcd"]:
        find("etcd")
    if not options.report:
        arguments = ["1" if argument.isdecimal() else argument for argument in arguments]
        arguments += ["--tiny", "--output", "benchmarks/results"]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments], env=env, stdout=-1, stderr=-1, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "benchmarks" / "results" / "bounds.md").read_text() in done.stdout
    measured = Results.read(tmp_path / "benchmarks" / "results" / "results.json")
    assert {series.scenario for series in measured.series} == (set() if options.report else set(options.scenarios))
    assert (tmp_path / "kvproxy-bench").exists() == bool(options.config_file)


def test_the_page_says_which_backends_its_run_lacks():
    measured = {series.backend for series in Results.read(DOCS / "results.json").series}
    lacks = (
        "The run on this page was made before `kubernetes` and `postgres` took part"
        in DOCS.with_suffix(".md").read_text()
    )
    assert lacks == (not {"kubernetes", "postgres"} & measured)


def test_the_documentation_shows_whole_runs_only():
    with pytest.raises(SystemExit):
        parse_options(["--docs", "--scenario", "reads"])


def start(directory: Path, *arguments: str) -> subprocess.Popen[str]:
    """The command with `directory` for temporary files."""
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks", "--tiny", "--output", str(directory / "out"), *arguments],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(directory)},
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=heed_signals,
    )


def processes_of(directory: Path) -> list[str]:
    """What still runs with something of `directory` in its command line or as its working directory."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            line = (process / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
            if process.name.isdecimal() and (str(directory) in line or str(directory) in os.readlink(process / "cwd")):
                found.append(line)
        except OSError:
            continue
    return found


def test_an_unknown_backend_is_an_error_with_the_names_that_there_are(tmp_path):
    process = start(tmp_path, "--scenario", "footprint", "--backend", "tolm")
    _, err = process.communicate(timeout=100)
    assert process.returncode == 1
    assert err.startswith("benchmarks: There is no backend 'tolm'")
    assert "toml" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_run_leaves_nothing_behind(tmp_path, number):
    process = start(tmp_path, "--scenario", "churn", "--backend", "toml")
    assert process.stderr
    for line in process.stderr:
        if "churn" in line:
            break
    assert any("traefik" in line for line in processes_of(tmp_path))
    process.send_signal(number)
    process.communicate(timeout=60)
    deadline = time.monotonic() + 60
    while (left := processes_of(tmp_path)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left == []
    if number != signal.SIGKILL:
        assert process.returncode == 130
        assert not list(tmp_path.glob("kvproxy-bench-*"))


def test_what_wrk_says_is_understood():
    assert parse(WRK.format(" ", "")) == Load(52524, 52501.74, 493e-6, 1.25)
    for trouble in ("Non-2xx or 3xx responses: 7", "Socket errors: connect 0, read 3, write 0, timeout 0"):
        with pytest.raises(BenchmarkError, match=trouble):
            parse(WRK.format(" ", f"  {trouble}\n"))
