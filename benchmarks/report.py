"""The result as text: a table for each section, JSON with every round, and what a reader must know of the run."""

import json
import os
import platform
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from benchmarks.contestants import Contestant
from benchmarks.processes import redis_server, valkey_server
from benchmarks.rounds import Section
from benchmarks.work.settings import Settings


def processor() -> str:
    """Return the processor's name, as far as the system tells."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def describe(settings: Settings, command: str) -> dict[str, str]:
    """Return what a reader must know to judge or to repeat the figures."""
    about = {
        "date": datetime.now(timezone.utc).isoformat(" ", "minutes"),
        "machine": f"{processor()}, {platform.machine()}, {os.cpu_count()} CPUs",
        "kernel": f"{platform.system()} {platform.release()}",
        "load when it began": f"{os.getloadavg()[0]:.1f}",
        "command": command,
        "figures": f"medians of {settings.rounds} rounds of {settings.operations:,} operations "
        f"in {'random order' if settings.shuffle else 'order of creation'}, contestants taking turns",
    }
    return about | {name: _versions(contestant) for name, contestant in settings.contestants.items()}


def _versions(contestant: Contestant) -> str:
    versions = contestant.versions()
    program = valkey_server() if contestant.peer.valkey else redis_server() if contestant.peer.redis else None
    if program:
        answer = subprocess.run([program, "--version"], check=True, capture_output=True, text=True).stdout
        versions["server"] = next(word[2:] for word in answer.split() if word.startswith("v="))
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def table(section: Section) -> str:
    """Return a section as a table; beside each figure how many times that of the base it is."""
    medians = section.medians()
    heading = f"{section.title} ({section.unit})" if section.unit else section.title
    lines = [f"| {heading} | {' | '.join(medians)} |", f"| --- |{' ---: |' * len(medians)}"]
    for row in section.rows():
        base = medians.get(section.base or "", {}).get(row)
        cells = [_cell(column.get(row), base if name != section.base else None) for name, column in medians.items()]
        lines.append(f"| {row} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(figure: float | None, base: float | None) -> str:
    if figure is None:
        return ""
    return f"{number(figure)} ({number(figure / base)}×)" if base else number(figure)  # noqa: RUF001 - "times"


def number(figure: float) -> str:
    """Return three significant digits, more where they stand before the point."""
    return f"{figure:,.0f}" if figure >= 100 else f"{figure:.3g}"


def markdown(about: Mapping[str, str], sections: Iterable[Section]) -> str:
    """Return the whole result as a page."""
    lines = [*(f"- {name}: {value}" for name, value in about.items())]
    return "\n".join(["# Results", "", *lines, "", *(f"{table(section)}\n" for section in sections)])


def as_json(about: Mapping[str, str], sections: Iterable[Section]) -> str:
    """Return the whole result with the figures of every round."""
    results: list[dict[str, Any]] = [asdict(section) | {"medians": section.medians()} for section in sections]
    return json.dumps({"about": dict(about), "sections": results}, indent=2) + "\n"
