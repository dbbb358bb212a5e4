"""Randomness that repeats."""

from __future__ import annotations

import random


class SeededEntropy:
    """Implements ``Entropy``: the same seed gives the same bytes and numbers in the same order."""

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed)  # noqa: S311 - to be repeatable is what it is for

    def random_bytes(self, n: int) -> bytes:
        """Return ``n`` bytes."""
        return self._random.randbytes(n)

    def uniform(self) -> float:
        """Return a float in [0, 1)."""
        return self._random.random()
