"""Two runs that mean the same have one semantic digest; everything else is in the log's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from durum.core.digests import log_digest, semantic_digest
from durum.core.events import RunStatus, SkipReason
from tests.core.handmade import Log, shape, written

if TYPE_CHECKING:
    from collections.abc import Callable

PLAN = {"a": "", "b": "", "c": "a"}


def meaning(*acts: Callable[[Log], object]) -> str:
    """Return the digest of a log made by some acts."""
    log = Log(shape(PLAN))
    for act in acts:
        act(log)
    return semantic_digest(log.state)


def a(value: int = 1) -> Callable[[Log], object]:
    """Run a."""
    return lambda log: log.run("a", written("k", value))


def test_order_attempts_and_orphans_do_not_matter() -> None:
    """Nor do retries, times and seqs."""
    plain = meaning(a(), lambda log: log.run("b"))
    assert plain == meaning(lambda log: log.run("b"), a())
    assert plain == meaning(
        lambda log: log.enter("b").fail("b", retryable=True).retry("b", 5).enter("b").complete("b"),
        lambda log: log.enter("a").fail("a", "orphan_attempt_recovered"),
        a(),
    )


def test_outcomes_writes_failures_skips_and_the_end_matter() -> None:
    """Each of them changes the digest."""

    def bad(log: Log) -> object:
        return log.enter("b").fail("b")

    digests = [
        meaning(),
        meaning(a()),
        meaning(a(2)),
        meaning(lambda log: log.run("a", written("other", 1))),
        meaning(lambda log: log.run("a", written("k", 1, "append"))),
        meaning(bad),
        meaning(lambda log: log.enter("b").fail("b", "other_code")),
        meaning(lambda log: log.skip("b", SkipReason.TAG)),
        meaning(lambda log: log.skip("b", SkipReason.FAIL_FAST)),
        meaning(a(), lambda log: log.run("b"), lambda log: log.run("c"), lambda log: log.end()),
        meaning(a(), lambda log: log.run("b"), lambda log: log.run("c"), lambda log: log.end(RunStatus.FAILED)),
    ]
    assert len(set(digests)) == len(digests)


def test_an_attempt_under_way_means_nothing_yet() -> None:
    """Only settled states count."""
    assert meaning(lambda log: log.enter("a")) == meaning()


def test_the_log_digest_is_the_last_hash() -> None:
    """The chain makes it cover everything."""
    log = Log(shape(PLAN)).run("a")
    assert log_digest(log.state) == log.envelopes[-1].hash
