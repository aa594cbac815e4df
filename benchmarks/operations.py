"""Measure what one operation costs, beside the original engine (crudjt 1.0.1 on PyPI), on this machine.

    python benchmarks/operations.py [--operations 40000] [--rounds 5] [--shuffle] [--json FILE] [--million] [--venv DIR]

needs this package importable. The original has the same import name, so it is installed, once, into a virtual
environment of its own. The two take turns; each turn starts with an empty store and runs in processes of its own:

- first visit: create tokens; read each once, then again, timed ("cached"); update each.
- second visit, a new process on the same store: read each token for the first time ("not cached"); delete each.

Tokens are read, updated and deleted in the order of their creation, with `--shuffle` in random order. "In process"
means that nobody else has the store open. "From another process" means that another process has it open throughout:
crudjt opens the same directory beside it, the original has to ask it over gRPC on loopback. The figures are medians
over the rounds, in microseconds per operation. Stores are made where Python puts temporary files: set TMPDIR to choose
the disk.

`--million` adds crudjt alone, on a store that holds 40,000 and one that holds 1,000,000 tokens before each turn; the
tokens of each visit are then chosen at random.
"""

import argparse
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

ORIGINAL_VERSION = "1.0.1"
ORIGINAL_CACHE = 40_000
REMOTE_FRACTION = 10
TIME_LIMIT = 900
PREFIX = "crudjt-bench-"
OPERATIONS = ("create", "read, cached", "read, not cached", "update", "delete")
POPULATIONS = (40_000, 1_000_000)
WORKER = Path(__file__).with_name("operations_worker.py")

Costs = dict[str, float]
Turn = Callable[[], Costs]


@dataclass(frozen=True)
class Contestant:
    """An engine, and the command that starts the Python which can import it."""

    engine: str
    python: tuple[str, ...]

    def worker(self, part: str, **settings: Any) -> list[str]:
        """Return the command of one worker process."""
        return [*self.python, str(WORKER), json.dumps({"engine": self.engine, "part": part} | settings)]


@dataclass(frozen=True)
class Section:
    """Two columns to compare: microseconds per operation, for each kind and round."""

    title: str
    columns: dict[str, dict[str, list[float]]]

    def medians(self) -> dict[str, Costs]:
        """Return the median over the rounds."""
        return {
            name: {operation: statistics.median(series) for operation, series in column.items()}
            for name, column in self.columns.items()
        }


def say(text: str) -> None:
    """Report progress, apart from the result."""
    print(text, file=sys.stderr, flush=True)


def install_original(venv: Path) -> Contestant:
    """Return the original engine, installed if it is not there yet."""
    python = venv / "bin" / "python"
    if not (python.exists() and any(venv.glob(f"lib/*/site-packages/crudjt-{ORIGINAL_VERSION}.dist-info"))):
        say(f"installing crudjt {ORIGINAL_VERSION} into {venv}")
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
        pip = [str(python), "-I", "-m", "pip", "install", "--quiet", f"crudjt=={ORIGINAL_VERSION}"]
        subprocess.run(pip, check=True, stdout=sys.stderr)
    return Contestant("original", (str(python), "-I"))


def free_port() -> int:
    """Return a loopback port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def run(command: list[str]) -> dict[str, Any]:
    """Run a worker to its end and return its answer."""
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=TIME_LIMIT)
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


@contextmanager
def running(command: list[str]) -> Iterator[None]:
    """Keep a worker that holds the store open beside the block; it ends when its input does."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        limit = threading.Timer(TIME_LIMIT, process.kill)
        limit.start()
        try:
            assert process.stdout
            if process.stdout.readline() != "ready\n":
                raise RuntimeError("the process that was to hold the store open did not")
            yield
            process.communicate(timeout=TIME_LIMIT)
            if process.returncode:
                raise subprocess.CalledProcessError(process.returncode, command)
        finally:
            limit.cancel()
            process.kill()


def visit_twice(contestant: Contestant, workspace: str, operations: int, *, shared: bool, shuffle: bool) -> Costs:
    """Time every operation on one store, which another process has open too if it is shared."""
    costs: Costs = {}
    for part in ("first visit", "second visit"):
        settings = {"workspace": workspace, "operations": operations, "port": free_port(), "shuffle": shuffle}
        with running(contestant.worker("hold", **settings)) if shared else nullcontext():
            costs |= run(contestant.worker(part, **settings, remote=shared))
    return costs


def fresh_store_turn(contestant: Contestant, operations: int, *, shared: bool, shuffle: bool) -> Costs:
    """Time every operation on a store made for this turn."""
    with tempfile.TemporaryDirectory(prefix=PREFIX) as workspace:
        return visit_twice(contestant, workspace, operations, shared=shared, shuffle=shuffle)


def take_turns(title: str, turns: dict[str, Turn], rounds: int) -> Section:
    """Run the turns one after the other, round after round, so that a noisy minute hits all of them."""
    section = Section(title, {name: {operation: [] for operation in OPERATIONS} for name in turns})
    for number in range(1, rounds + 1):
        for name, turn in turns.items():
            costs = turn()
            say(f"{title}, round {number}, {name}: " + ", ".join(f"{key} {cost:.2f}" for key, cost in costs.items()))
            for operation, cost in costs.items():
                section.columns[name][operation].append(cost)
    return section


def compare_engines(
    ours: Contestant, original: Contestant, operations: int, rounds: int, *, shuffle: bool
) -> Iterator[Section]:
    """Time both engines, first alone with their stores, then beside another process."""
    fewer = max(1, operations // REMOTE_FRACTION)
    for title, shared, remote_operations in (
        ("in process", False, operations),
        (f"from another process (original: {fewer:,} operations over gRPC)", True, fewer),
    ):
        turns: dict[str, Turn] = {
            "crudjt": partial(fresh_store_turn, ours, operations, shared=shared, shuffle=shuffle),
            "original": partial(fresh_store_turn, original, remote_operations, shared=shared, shuffle=shuffle),
        }
        yield take_turns(title, turns, rounds)


def compare_sizes(ours: Contestant, operations: int, rounds: int) -> Section:
    """Time a small and a large store; every turn leaves as many tokens as it found."""
    with tempfile.TemporaryDirectory(prefix=PREFIX) as directory:
        turns: dict[str, Turn] = {}
        for population in POPULATIONS:
            workspace = Path(directory, str(population))
            workspace.mkdir()
            say(f"filling a store with {population:,} tokens")
            run(ours.worker("fill", workspace=str(workspace), operations=population))
            turn = partial(visit_twice, ours, str(workspace), operations, shared=False, shuffle=True)
            turns[f"{population:,} tokens"] = turn
        return take_turns("crudjt by size of the store, random order", turns, rounds)


def processor() -> str:
    """Return the processor's name, as far as the system tells."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def describe(ours: Contestant, original: Contestant, arguments: argparse.Namespace) -> dict[str, str]:
    """Return what a reader must know to judge or to repeat the figures."""
    return {
        "date": datetime.now(timezone.utc).isoformat(" ", "minutes"),
        "machine": f"{processor()}, {platform.machine()}, {os.cpu_count()} CPUs",
        "kernel": f"{platform.system()} {platform.release()}",
        "crudjt": ", ".join(f"{name} {version}" for name, version in run(ours.worker("versions")).items()),
        "original": ", ".join(f"{name} {version}" for name, version in run(original.worker("versions")).items()),
        "figures": f"microseconds per operation, median of {arguments.rounds} rounds of {arguments.operations:,} "
        f"operations in {'random order' if arguments.shuffle else 'order of creation'}; "
        "196 bytes of MessagePack per token",
    }


def markdown(section: Section) -> str:
    """Return the section as a table."""
    (first, base), (second, other) = section.medians().items()
    lines = [f"| {section.title} | {first} | {second} | {second} / {first} |", "| --- | ---: | ---: | ---: |"]
    lines += [
        f"| {operation} | {base[operation]:.2f} | {other[operation]:.2f} | {other[operation] / base[operation]:.2f} |"
        for operation in OPERATIONS
    ]
    return "\n".join(lines)


def parse_arguments() -> argparse.Namespace:
    """Return the options, checked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--operations", type=int, default=ORIGINAL_CACHE, help="operations of each kind per round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--shuffle", action="store_true", help="take tokens in random order, not in that of creation")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every round's figures there, too")
    parser.add_argument("--million", action="store_true", help="add crudjt alone on a small and a large store")
    parser.add_argument(
        "--venv",
        type=Path,
        metavar="DIRECTORY",
        default=Path(tempfile.gettempdir(), f"{PREFIX}original"),
        help="where the original is, or is to be, installed",
    )
    arguments = parser.parse_args()
    if not 1 <= arguments.operations <= ORIGINAL_CACHE:
        parser.error(f"--operations: from 1 to {ORIGINAL_CACHE}, more than which the original does not cache")
    if arguments.rounds < 1:
        parser.error("--rounds: at least 1")
    return arguments


def main() -> None:
    """Measure, print, and write what was asked for."""
    arguments = parse_arguments()
    ours = Contestant("crudjt", (sys.executable,))
    original = install_original(arguments.venv)
    about = describe(ours, original, arguments)
    print("\n".join(f"- {name}: {value}" for name, value in about.items()), flush=True)
    sections = []
    for section in compare_engines(ours, original, arguments.operations, arguments.rounds, shuffle=arguments.shuffle):
        sections.append(section)
        print(f"\n{markdown(section)}", flush=True)
    if arguments.million:
        sections.append(compare_sizes(ours, arguments.operations, arguments.rounds))
        print(f"\n{markdown(sections[-1])}", flush=True)
    if arguments.json:
        results = [asdict(section) | {"medians": section.medians()} for section in sections]
        arguments.json.write_text(json.dumps({"about": about, "sections": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
