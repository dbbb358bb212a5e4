"""What a step may declare, and what is wrong with a declaration."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Collection, Iterable
from datetime import timedelta
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from durum.core.ids import ContextKey
from durum.core.meta import SideEffectKind
from durum.errors import InvalidIdError
from durum.workflow.expansion_options import wrong_expansion
from durum.workflow.retry import Retry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from durum.workflow.signature import Signature

Effects = Literal["pure", "read_only_io", "apply_side_effect"]

LONGEST_TIMEOUT = timedelta(days=10_000)
_PLACEHOLDER = re.compile(r"\{[^{}]*\}")
_RUN_ID = "{run_id}"
_INDEX = "{index}"


class StepOptions(TypedDict, total=False):
    """What a step may declare."""

    name: str  # default: the function's
    writes: str  # context key of the result; default: the step's name
    tags: Collection[str]
    retry: Retry
    timeout: timedelta  # a plain def with one runs in a thread, for nothing else could stop it
    after: Collection[Callable[..., Any] | str]  # steps to wait for without reading them
    effects: Effects  # default: "pure" without Io, "read_only_io" with it
    idempotency: str  # effect key; its receiver does the same effect once only; {run_id} stands for the run
    blocking: bool  # run a plain def in a thread
    version: str  # part of the input digest
    idempotent: bool  # the receiver does an effect once, however often it is asked under the same key
    reconcile: Callable[..., Any]  # async (effect, io) -> Happened(result), True, False or None: what became of an effect
    each: str  # one state for every item of this key; the parameter ``item`` is the item, ``index`` its place
    on_missing: Literal["fail", "skip"]  # what a missing key or a value that is no list means for ``each``; default: "fail"
    max_concurrency: int  # most items under way at a time; default: as many as the run allows
    child: Any  # a Workflow: the function returns the inputs of a child run, and its result is the step's
    result: str  # the child's context key that is the result; default: its whole final context
    snapshot: Literal["on_success", "always"]  # "always" keeps what a failed attempt had staged, for diagnosis


def problem(options: StepOptions, signature: Signature) -> str | None:
    """Return what is wrong with a step's options, as the end of a sentence that begins with the step; None if nothing is."""
    unknown = sorted(options.keys() - StepOptions.__annotations__.keys())
    if unknown:
        return f"has no option {unknown[0]!r}{did_you_mean(unknown[0], StepOptions.__annotations__)}"
    given: Mapping[str, object] = options  # whatever people typed
    return (
        _wrong_word(given)
        or _wrong_time(given, signature)
        or _wrong_effect(given, signature)
        or wrong_expansion(given, signature)
    )


def did_you_mean(name: str, known: Iterable[str], otherwise: str = "") -> str:
    """Return the end of a sentence that suggests the closest known name."""
    close = get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else otherwise


def wrong_key(name: object) -> str | None:
    """Return why a name cannot be a context key."""
    try:
        ContextKey(name)
    except InvalidIdError as error:
        return f"{name!r} is no context key; it must be {error.rule}"
    return None


def in_order(values: Iterable[str]) -> tuple[str, ...]:
    """Return texts in an order that is the same in every process: sets have none of their own."""
    return tuple(sorted(values) if isinstance(values, set | frozenset) else values)


def wrong_texts(values: object) -> bool:
    """Tell whether something is no list of texts; a single text is none either."""
    return isinstance(values, str) or not isinstance(values, Collection) or not all(isinstance(value, str) for value in values)


def _wrong_word(options: Mapping[str, object]) -> str | None:
    if "writes" in options and (reason := wrong_key(options["writes"])):
        return f"writes {reason}"
    if "tags" in options and wrong_texts(options["tags"]):
        return f"has tags={options['tags']!r}; give a list of texts, such as tags=['report']"
    after = options.get("after", ())
    if not isinstance(after, Collection) or isinstance(after, str):
        return f"has after={_shown(after)}; give a list of steps, such as after=[{_shown(after)}]"
    version = options.get("version", "")
    if not isinstance(version, str):
        return f"has version={version!r}; give a text, such as version='{version}'"
    return None


def _wrong_time(options: Mapping[str, object], signature: Signature) -> str | None:
    retry, timeout, blocking = options.get("retry"), options.get("timeout"), options.get("blocking", False)
    if retry is not None and not isinstance(retry, Retry):
        return f"has retry={_shown(retry)}; give a Retry, such as retry=Retry(attempts=3)"
    if timeout is not None and not isinstance(timeout, timedelta):
        return f"has timeout={_shown(timeout)}; give a timedelta, such as timeout=timedelta(seconds=30)"
    if timeout is not None and not timedelta(0) < timeout <= LONGEST_TIMEOUT:
        return f"has a timeout of {timeout}; it must be positive and at most {LONGEST_TIMEOUT.days:,} days"
    if not isinstance(blocking, bool):
        return f"has blocking={_shown(blocking)}; give True or False"
    if blocking and signature.is_async:
        return "is async def and blocking; only a plain def can run in a thread"
    return None


def _wrong_effect(options: Mapping[str, object], signature: Signature) -> str | None:
    effects, key = options.get("effects"), options.get("idempotency")
    if effects is not None and effects not in [*SideEffectKind]:
        return f"declares effects={effects!r}; use {', '.join(SideEffectKind)}"
    if effects == SideEffectKind.PURE and signature.io_parameter is not None:
        return "is declared pure but takes Io"
    applies = effects == SideEffectKind.APPLY_SIDE_EFFECT
    idempotent, reconcile = options.get("idempotent", False), options.get("reconcile")
    if not isinstance(idempotent, bool):
        return f"has idempotent={_shown(idempotent)}; give True if its receiver does an effect once per key"
    if reconcile is not None and not inspect.iscoroutinefunction(reconcile):
        return f"has reconcile={_shown(reconcile)}; give an async function of (effect, io)"
    if (idempotent or reconcile is not None) and not applies:
        return "says what becomes of its effect but applies none; declare effects='apply_side_effect'"
    return None if key is None else _wrong_key_of_effect(key, applies=applies)


def _wrong_key_of_effect(key: object, *, applies: bool) -> str | None:
    if not applies:
        return "has an idempotency key but applies no effect; declare effects='apply_side_effect'"
    if not isinstance(key, str) or not key or not key.isascii() or not key.isprintable():
        return f"has idempotency={key!r}; give a text of printable ASCII, such as '{_RUN_ID}/publish'"
    strange = [name for name in _PLACEHOLDER.findall(key) if name not in {_RUN_ID, _INDEX}]
    if strange:
        return f"has {strange[0]} in its idempotency key, which stands for nothing; only {_RUN_ID} and {_INDEX} do"
    return None


def _shown(value: object) -> str:
    return str(getattr(value, "__name__", None) or repr(value))
