"""Line charts as one SVG that reads on light and on dark ground."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

WIDTH, HEIGHT = 430, 190  # of one chart with its words
LEFT, RIGHT, TOP, BOTTOM = 62, 20, 34, 44
HEAD = 40
STYLE = """
  svg { background: #ffffff; font: 12px system-ui, sans-serif; }
  text { fill: #333333; } .title { font-size: 16px; font-weight: 600; } .name { font-weight: 600; }
  .grid { stroke: #dddddd; } .axis { stroke: #777777; } .line { stroke: #0b62c4; fill: none; stroke-width: 2; }
  .dot { fill: #0b62c4; } .value { fill: #0b62c4; }
  @media (prefers-color-scheme: dark) {
    svg { background: #14171c; } text { fill: #d6d9de; } .grid { stroke: #343a43; } .axis { stroke: #8a919c; }
    .line { stroke: #6fb1ff; } .dot { fill: #6fb1ff; } .value { fill: #6fb1ff; }
  }
"""


class Chart(NamedTuple):
    """One line: a measure with its unit, along what grows; both points' numbers are positive."""

    title: str
    along: str
    points: Mapping[int, float]


def draw(title: str, rows: Sequence[Sequence[Chart]]) -> str:
    """Return the charts in rows under one title."""
    width, height = WIDTH * len(rows[0]), HEAD + HEIGHT * len(rows)
    body = [f'<text class="title" x="{LEFT}" y="26">{escape(title)}</text>']
    for row, charts in enumerate(rows):
        for column, chart in enumerate(charts):
            body.append(
                f'<g transform="translate({column * WIDTH} {HEAD + row * HEIGHT})">\n' + "\n".join(_chart(chart)) + "\n</g>"
            )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}">\n'
        f"<style>{STYLE}</style>\n" + "\n".join(body) + "\n</svg>\n"
    )


def _chart(chart: Chart) -> list[str]:
    first, last = math.log10(min(chart.points)), math.log10(max(chart.points))
    top = _round_up(max(chart.points.values()))

    def across(count: float) -> float:
        return LEFT + (math.log10(count) - first) / (last - first) * (WIDTH - LEFT - RIGHT)

    def up(value: float) -> float:
        return HEIGHT - BOTTOM - max(value, 0.0) / top * (HEIGHT - TOP - BOTTOM)

    parts = [f'<text class="name" x="{LEFT}" y="18">{escape(chart.title)}</text>']
    for step in range(5):
        value = top * step / 4
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{up(value):.1f}" y2="{up(value):.1f}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{up(value) + 4:.1f}" text-anchor="end">{value:,.0f}</text>')
    ground = HEIGHT - BOTTOM
    parts.append(f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{ground}" y2="{ground}"/>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{HEIGHT - 8}" text-anchor="middle">{escape(chart.along)} (logarithmic)</text>')
    places = " ".join(f"{across(count):.1f},{up(value):.1f}" for count, value in chart.points.items())
    parts.append(f'<polyline class="line" points="{places}"/>')
    for count, value in chart.points.items():
        anchor = "start" if count == min(chart.points) else "end" if count == max(chart.points) else "middle"
        parts.append(f'<circle class="dot" cx="{across(count):.1f}" cy="{up(value):.1f}" r="3.5"/>')
        parts.append(
            f'<text class="value" x="{across(count):.1f}" y="{up(value) - 8:.1f}" text-anchor="{anchor}">{value:,.0f}</text>'
        )
        parts.append(f'<text x="{across(count):.1f}" y="{ground + 16}" text-anchor="{anchor}">{count:,}</text>')
    return parts


def _round_up(value: float) -> float:
    """Return the next 1, 2, 4 or 8 with zeroes, with room for a number above the highest point."""
    least = value * 1.15
    power: float = 10 ** math.floor(math.log10(least))
    return next(step * power for step in (1, 2, 4, 8, 10) if step * power >= least)
