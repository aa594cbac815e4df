"""The result as pictures: one SVG for each section."""

import math
import re
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from benchmarks.report import number
from benchmarks.rounds import Section

_ROW_INCHES = 0.16
_WIDTH_INCHES = 8.0
_MARGIN_INCHES = 1.2
_LINEAR_RANGE = 20  # up to which the bars can all be seen


def plot(section: Section, directory: Path) -> Path:
    """Draw a section; the name of the file is its title.

    The bars begin at zero, so that their lengths can be compared; but where some would be too short for that, the scale
    is logarithmic, from a power of ten on.
    """
    rows, medians = section.rows(), section.medians()
    bars = 0.8 / len(medians)
    height = _MARGIN_INCHES + _ROW_INCHES * len(rows) * (len(medians) + 1)
    figure = Figure(figsize=(_WIDTH_INCHES, height), layout="constrained")
    axes = figure.subplots()
    for place, (name, column) in enumerate(medians.items()):
        there = [(at, column[row]) for at, row in enumerate(rows) if row in column]
        drawn = axes.barh(
            [at + (place + 0.5) * bars - 0.4 for at, _ in there], [cost for _, cost in there], bars, label=name
        )
        axes.bar_label(drawn, fmt=number, padding=2, fontsize=6)
    axes.set_yticks(range(len(rows)), rows)
    axes.set_ylim(len(rows) - 0.5, -0.5)  # the first on top
    axes.margins(x=0.1)
    axes.set_xlabel(section.unit or "as named")
    costs = [cost for column in medians.values() for cost in column.values() if cost > 0]
    if costs and max(costs) > _LINEAR_RANGE * min(costs):
        axes.set_xscale("log")
        axes.set_xlim(left=10 ** math.floor(math.log10(min(costs))))
        axes.set_xlabel(f"{axes.get_xlabel()} (logarithmic)")
    axes.xaxis.set_major_formatter("{x:,g}")
    axes.set_title(section.title)
    axes.legend(fontsize=7)
    path = directory / f"{re.sub(r'[^a-z0-9]+', '-', section.title.lower()).strip('-')}.svg"
    # The same result gives the same file: no date, no random names within.
    with mpl.rc_context({"svg.hashsalt": "crudjt"}):
        figure.savefig(path, metadata={"Date": None})
    return path
