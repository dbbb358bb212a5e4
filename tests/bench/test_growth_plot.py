"""The plot is a sound SVG that names its axes and carries every point's number."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from bench.growth import Cost, plot
from bench.growth_plot import BOTTOM, HEIGHT, TOP

STATES = {100: Cost(400, 300, 2500, 9000), 100_000: Cost(450, 310, 2400, 3000)}
RUNS = {1: Cost(900, 800, 7000, 1.0), 10_000: Cost(500, 300, 1600, -2.0)}


def test_every_point_is_there_with_its_units() -> None:
    """Eight charts: four measures along what grows; a memory that did not grow lies on the ground."""
    drawing = ET.fromstring(plot(STATES, RUNS))  # noqa: S314 - our own
    words = [text.text for text in drawing.iter("{http://www.w3.org/2000/svg}text")]
    for word in ("time a state, us", "processor time a state, us", "stored a state, bytes", "memory a state, bytes"):
        assert words.count(word) == 2
    assert words.count("states in one run (logarithmic)") == 4
    assert {"100", "100,000", "10,000", "2,400", "450", "7,000"} <= set(words)
    points = [float(point.attrib["cy"]) for point in drawing.iter("{http://www.w3.org/2000/svg}circle")]
    assert len(points) == 16
    assert all(TOP < point <= HEIGHT - BOTTOM for point in points)
    assert "prefers-color-scheme: dark" in plot(STATES, RUNS)
