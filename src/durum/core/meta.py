"""What is declared about a state: tags, effect class, idempotency, dependency hints (seed 002, ``meta``)."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Tag(str):
    """A word that classifies a state; policies select by it."""

    __slots__ = ()


class StandardTag(StrEnum):
    """The tags shared by planners, engine and policies."""

    CONFIG = "config"
    FETCH_DATA = "fetch_data"
    COMPUTE = "compute"
    EXECUTE = "execute"
    REPORT = "report"
    APPLY_SIDE_EFFECT = "apply_side_effect"
    IMPURE = "impure"


class SideEffectKind(StrEnum):
    """What a state may do to the outside world; decides which IO it is given and how it is retried."""

    PURE = "pure"
    READ_ONLY_IO = "read_only_io"
    APPLY_SIDE_EFFECT = "apply_side_effect"


class DependencyStrategy(StrEnum):
    """Which of several states carrying a tag a dependency hint means."""

    LATEST = "latest"
    EARLIEST = "earliest"
    LATEST_SUCCESSFUL = "latest_successful"


class StateMeta(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a state says of itself. ``depends_on`` is a hint for planners; the plan's edges are what the engine obeys."""

    tags: tuple[str, ...] = ()
    depends_on: tuple[str, ...] = ()
    depends_on_strategy: DependencyStrategy = DependencyStrategy.LATEST
    side_effects: SideEffectKind = SideEffectKind.PURE
    idempotency: str | None = None  # the effect key's template; None: run and state
    idempotent: bool = False  # the receiver does an effect once however often it is asked under the same key
