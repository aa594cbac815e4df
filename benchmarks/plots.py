"""The result as pictures: one SVG for each section, bars on a logarithmic scale."""

import re
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from benchmarks.rounds import Section

_ROW_INCHES = 0.16
_WIDTH_INCHES = 8.0
_MARGIN_INCHES = 1.2


def plot(section: Section, directory: Path) -> Path:
    """Draw a section; the name of the file is its title."""
    rows, medians = section.rows(), section.medians()
    bars = 0.8 / len(medians)
    height = _MARGIN_INCHES + _ROW_INCHES * len(rows) * (len(medians) + 1)
    figure = Figure(figsize=(_WIDTH_INCHES, height), layout="constrained")
    axes = figure.subplots()
    for number, (name, column) in enumerate(medians.items()):
        there = [(at, column[row]) for at, row in enumerate(rows) if row in column]
        drawn = axes.barh(
            [at + (number + 0.5) * bars - 0.4 for at, _ in there], [cost for _, cost in there], bars, label=name
        )
        axes.bar_label(drawn, fmt="{:.3g}", padding=2, fontsize=6)
    axes.set_xscale("log")
    axes.set_yticks(range(len(rows)), rows)
    axes.set_ylim(len(rows) - 0.5, -0.5)  # the first on top
    axes.margins(x=0.1)
    axes.set_xlabel(f"{section.unit} (logarithmic)" if section.unit else "as named (logarithmic)")
    axes.set_title(section.title)
    axes.legend(fontsize=7)
    path = directory / f"{re.sub(r'[^a-z0-9]+', '-', section.title.lower()).strip('-')}.svg"
    # The same result gives the same file: no date, no random names within.
    with mpl.rc_context({"svg.hashsalt": "crudjt"}):
        figure.savefig(path, metadata={"Date": None})
    return path
