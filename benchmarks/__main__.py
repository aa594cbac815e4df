"""Measure what an operation costs, beside everybody else, on this machine.

    python -m benchmarks [--quick] [--only PART ...] [--sizes 40000 1000000 5000000] [--results DIRECTORY]

needs the extra `bench`, Debian's redis-server for Redis, and its valkey-server for the part `cluster`. Peers
are installed, once, into virtual environments of their own; servers listen on loopback and Unix sockets and end with
each turn. Contestants take turns, each with an empty store; the figures are medians over the rounds. Stores are made
where Python puts temporary files: set TMPDIR to choose the disk. Results are written as `results.md`, `results.json`,
and one plot for each table.

    python -m benchmarks --only interpreters --pythons /usr/bin/python3.11 ./in-chroot-3.14

compares interpreters instead, each with requirements/test.txt installed. One may be a script that enters a chroot, if
this checkout and the directory for temporary files have the same paths there:

    exec chroot /srv/sid env -C "$PWD" /opt/venv/bin/python "$@"
"""

import argparse
import shlex
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.contestants import Contestant
from benchmarks.environments import ROOT, prepare
from benchmarks.peers.catalogue import CRUDJT, ORIGINAL_CACHE, PEERS, PEERS_ON_SERVERS
from benchmarks.plots import plot
from benchmarks.processes import PREFIX, redis_server, valkey_server
from benchmarks.report import as_json, describe, markdown, table
from benchmarks.rounds import Section, say
from benchmarks.sites.catalogue import FRAMEWORKS, versions_of
from benchmarks.work.cluster import on_servers
from benchmarks.work.interpreters import by_interpreter, under
from benchmarks.work.operations import beside_another, durably, in_one_process
from benchmarks.work.over_grpc import over_grpc
from benchmarks.work.processes import at_once
from benchmarks.work.settings import Settings
from benchmarks.work.sizes import by_size
from benchmarks.work.web import over_the_web

PARTS: dict[str, Callable[[Settings], Iterator[Section]]] = {
    "operations": in_one_process,
    "beside": beside_another,
    "durable": durably,
    "processes": at_once,
    "grpc": over_grpc,
    "cluster": on_servers,
    "sizes": by_size,
    "web": over_the_web,
    "interpreters": by_interpreter,
}
LARGE = ("sizes", "web", "interpreters")  # only where they are asked for
PAYLOADS = (20, 196, 1000)
FULL = {"operations": ORIGINAL_CACHE, "rounds": 5, "seconds": 5.0, "payloads": PAYLOADS}
QUICK = {"operations": 1000, "rounds": 1, "seconds": 0.5, "payloads": (196,)}
PAUSE_SECONDS = 2.0  # before a turn, but not in a quick run


def parse_arguments() -> argparse.Namespace:
    """Return the options, checked."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--quick", action="store_true", help="all but sizes, web and interpreters in two minutes; a taste, no result"
    )
    parser.add_argument("--only", nargs="+", choices=PARTS, metavar="PART", help=f"parts: {', '.join(PARTS)}")
    names = [peer.name for peer in PEERS + PEERS_ON_SERVERS]
    parser.add_argument("--peers", nargs="+", choices=names, metavar="PEER", help=f"besides crudjt: {'; '.join(names)}")
    parser.add_argument("--operations", type=int, help=f"of each kind in a round ({ORIGINAL_CACHE:,})")
    parser.add_argument("--rounds", type=int, help="whose median counts (5)")
    parser.add_argument("--payloads", nargs="+", type=int, choices=PAYLOADS, help="bytes of MessagePack (all)")
    parser.add_argument("--seconds", type=float, help="of a mix of several processes (5)")
    parser.add_argument("--shuffle", action="store_true", help="take tokens in random order, not in that of creation")
    parser.add_argument("--sizes", nargs="+", type=int, default=[], metavar="TOKENS", help="add stores so large")
    parser.add_argument(
        "--pythons", nargs="+", type=Path, metavar="PATH", help="of the part interpreters, which is alone"
    )
    names = [framework.name for framework in FRAMEWORKS]
    parser.add_argument("--frameworks", nargs="+", choices=names, default=names, help="of the part web (all)")
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results", metavar="DIRECTORY")
    parser.add_argument(
        "--venvs",
        type=Path,
        metavar="DIRECTORY",
        default=Path(tempfile.gettempdir(), f"{PREFIX}peers"),
        help="where the peers are, or are to be, installed",
    )
    arguments = parser.parse_args()
    for name, value in (QUICK if arguments.quick else FULL).items():
        if getattr(arguments, name) is None:
            setattr(arguments, name, value)
    if not 1 <= arguments.operations <= ORIGINAL_CACHE:
        parser.error(f"--operations: from 1 to {ORIGINAL_CACHE}, more than which the original does not cache")
    if arguments.rounds < 1 or arguments.seconds <= 0 or any(size < 1 for size in arguments.sizes):
        parser.error("--rounds, --seconds and --sizes: above 0")
    interpreters = ["interpreters"]
    if (arguments.only == interpreters) != bool(arguments.pythons) or (
        arguments.only != interpreters and "interpreters" in (arguments.only or ())
    ):
        parser.error("--pythons needs --only interpreters, which needs --pythons and no other part")
    return arguments


def installed(arguments: argparse.Namespace, pause_seconds: float) -> dict[str, Contestant]:
    """Install the peers that are to take part, and return them by name."""
    contestants = {}
    for peer in PEERS + PEERS_ON_SERVERS if arguments.only != ["web"] else (CRUDJT,):
        if arguments.peers and peer is not CRUDJT and peer.name not in arguments.peers:
            continue
        if peer.redis and redis_server() is None:
            say(f"left out, since redis-server is not installed: {peer.name}")
            continue
        if peer.valkey and valkey_server() is None:
            say(f"left out, since valkey-server is not installed: {peer.name}")
            continue
        environment = prepare(peer, arguments.venvs.absolute())
        contestants[peer.name] = Contestant(peer, environment, pause_seconds)
    return contestants


def gather(arguments: argparse.Namespace) -> Settings:
    """Return the settings of the run, with all who take part."""
    pause_seconds = 0.0 if arguments.quick else PAUSE_SECONDS
    pythons = arguments.pythons
    return Settings(
        contestants=under(pythons, pause_seconds) if pythons else installed(arguments, pause_seconds),
        operations=arguments.operations,
        rounds=arguments.rounds,
        payloads=tuple(arguments.payloads),
        seconds=arguments.seconds,
        shuffle=arguments.shuffle,
        sizes=tuple(arguments.sizes),
        frameworks=tuple(each for each in FRAMEWORKS if each.name in arguments.frameworks),
        pause_seconds=pause_seconds,
    )


def main() -> None:
    """Measure, print, and write the results."""
    arguments = parse_arguments()
    settings = gather(arguments)
    about = describe(settings, shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]]))
    if "web" in (arguments.only or ()):
        about["web"] = versions_of(settings.frameworks)
    parts = arguments.only or [part for part in PARTS if part not in LARGE]
    if settings.sizes and "sizes" not in parts:
        parts.append("sizes")
    results: Path = arguments.results
    results.mkdir(parents=True, exist_ok=True)
    sections: list[Section] = []
    for part in parts:
        for section in PARTS[part](settings):
            sections.append(section)
            print(f"\n{table(section)}", flush=True)
            plot(section, results)
            # Written after each section, so that a run that is interrupted leaves what it has found.
            (results / "results.md").write_text(markdown(about, sections))
            (results / "results.json").write_text(as_json(about, sections))
    say(f"written to {results}")


if __name__ == "__main__":
    main()
