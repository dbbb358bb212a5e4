"""Randomness for tests: a seed says it all."""

from __future__ import annotations

from durum.testing.entropy import SeededEntropy


def test_a_seed_repeats_itself() -> None:
    """The same seed gives the same bytes and numbers in order, another seed others."""

    def drawn(seed: int) -> list[object]:
        entropy = SeededEntropy(seed)
        return [entropy.random_bytes(8), entropy.uniform(), entropy.random_bytes(3), entropy.random_bytes(0)]

    assert drawn(1) == drawn(1) != drawn(2)
    assert [len(part) if isinstance(part, bytes) else 0 <= float(str(part)) < 1 for part in drawn(1)] == [8, True, 3, 0]
