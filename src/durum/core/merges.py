"""How a context key with several writers comes together: merges by name, and an author's own function.

A reducer folds contributions onto a value one by one, in a row and at joins alike, always in the order of the plan. What an
absent or null value counts as is each one's own: 0 for ``sum``, an empty list for ``union``; with ``min``, ``max`` and ``last``
the first contribution becomes the value; an author's function is handed None.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from durum.core.canonical import canonical_json, decode_json
from durum.core.ids import ContextKey
from durum.core.secrets import refuse_secrets
from durum.core.tree import entry_of
from durum.errors import CanonicalJsonError, ConfigError, DurumError, MergeError

if TYPE_CHECKING:
    from durum.core.canonical import JsonValue

APPEND = "append"
_OWN = "reducer:"

_Step: TypeAlias = "Callable[[JsonValue, JsonValue], JsonValue]"


class Reducer(msgspec.Struct, frozen=True):
    """An author's own pure function ``(old, new) -> value``, JSON in and out."""

    name: str
    function: Callable[[Any, Any], object]
    digest: str | None = None  # of its code; a hint, replay is the judge

    @property
    def merge(self) -> str:
        """What the stored plan calls it."""
        return _OWN + self.name


class Merges(msgspec.Struct, frozen=True):
    """How the keys of a plan merge: the names as stored, and the author's own reducers by key, where the code is at hand."""

    names: Mapping[str, str] = {}
    reducers: Mapping[str, Reducer] = {}

    def foldable(self, key: str) -> bool:
        """Tell whether contributions can be reduced here: an author's own function may not be at hand."""
        return not self.names[key].startswith(_OWN) or key in self.reducers

    def folding(self, key: str, old: JsonValue) -> Folding:
        """Return a value to fold contributions onto; ``old`` is None for an absent key.

        Raises:
            MergeError: there is no such reducer.
        """
        merge = self.names[key]
        own = self.reducers.get(key)
        if own is not None:
            return Folding(key, merge, _stored_between(own.function), old)
        if merge not in NAMED:
            raise MergeError(key, merge, "there is no such reducer in this code")
        return Folding(key, merge, NAMED[merge](), old)


class Folding:
    """A value that contributions are folded onto; whatever a reducer raises is a ``MergeError``."""

    def __init__(self, key: str, merge: str, step: _Step, old: JsonValue) -> None:
        self.value = old
        self._key = key
        self._merge = merge
        self._step = step

    def add(self, contribution: JsonValue) -> None:
        """Fold one more contribution onto the value; neither object may be used afterwards."""
        try:
            self.value = self._step(self.value, contribution)
        except KeyboardInterrupt:
            raise  # a person stops the process
        except BaseException as error:
            raise MergeError(self._key, self._merge, _reason(error)) from error

    def entry(self, put: Callable[[str, bytes], None]) -> bytes:
        """Return the snapshot-tree entry of the value, handing every artifact it needs to ``put``."""
        try:
            data = canonical_json(self.value)
            refuse_secrets("the context", b"{%b:%b}" % (canonical_json(self._key), data))
        except DurumError as error:
            raise MergeError(self._key, self._merge, _reason(error)) from error
        return entry_of(self.value, put, data)


class _UnfitError(Exception):
    """A value a named reducer has no use for."""


def _reason(error: BaseException) -> str:
    if isinstance(error, CanonicalJsonError):
        return f"its result is not JSON at {error.path}: {error.reason}"
    if isinstance(error, _UnfitError | DurumError):
        return str(error)
    return f"it raised {type(error).__name__}: {error}"


def _stored_between(function: Callable[[Any, Any], object]) -> _Step:
    """Return a step whose result is what the context would have given back, so that a join equals a sequence."""
    return lambda old, new: decode_json(canonical_json(function(old, new)))


# --- reducers by name -----------------------------------------------------------------------------------------------------


def _number(value: JsonValue) -> int | float:
    if type(value) not in {int, float}:
        raise _UnfitError(f"it adds numbers, not {_kind(value)}")
    return value  # type: ignore[return-value]


def _sum(old: JsonValue, new: JsonValue) -> JsonValue:
    return _number(0 if old is None else old) + _number(new)


def _extreme(choose: Callable[[Any, Any], Any]) -> _Step:
    def step(old: JsonValue, new: JsonValue) -> JsonValue:
        kinds = {_kind(new)} if old is None else {_kind(old), _kind(new)}
        if kinds not in ({"a number"}, {"a text"}):
            raise _UnfitError(f"it compares numbers or texts, not {' with '.join(sorted(kinds))}")
        chosen: JsonValue = new if old is None else choose(old, new)
        return chosen

    return step


def _last(old: JsonValue, new: JsonValue) -> JsonValue:
    del old
    return new


class _Union:
    """Adds the items a list does not hold yet, in the order they come in; items are equal if their JSON is."""

    def __init__(self) -> None:
        self._items: list[JsonValue] = []
        self._known: set[bytes] = set()

    def __call__(self, old: JsonValue, new: JsonValue) -> JsonValue:
        if old is not self._items:
            self._add([] if old is None else old)
        self._add(new)
        return self._items

    def _add(self, items: JsonValue) -> None:
        if not isinstance(items, list):
            raise _UnfitError(f"it unites lists, not {_kind(items)}")
        for item in items:
            data = canonical_json(item)
            if data not in self._known:
                self._known.add(data)
                self._items.append(item)


_KINDS = {bool: "a boolean", int: "a number", float: "a number", str: "a text", list: "a list", dict: "an object"}


def _kind(value: JsonValue) -> str:
    return _KINDS.get(type(value), "null")


NAMED: Mapping[str, Callable[[], _Step]] = {
    "sum": lambda: _sum,
    "min": lambda: _extreme(min),
    "max": lambda: _extreme(max),
    "union": _Union,
    "last": lambda: _last,
}


def stored_names(names: Mapping[str, str], reducers: Mapping[str, Reducer]) -> dict[str, str]:
    """Return the merges of a plan as they are stored: key -> name.

    Raises:
        ConfigError: a name stands for nothing, or a key has two merges.
    """
    for key, merge in names.items():
        if merge != APPEND and merge not in NAMED:
            raise ConfigError(f"key {key!r} cannot merge by {merge!r}; use one of {', '.join((APPEND, *NAMED))} or a reducer")
        if key in reducers:
            raise ConfigError(f"key {key!r} has the merge {merge!r} and a reducer; keep one")
    stored = {**names, **{key: reducer.merge for key, reducer in reducers.items()}}
    return {str(ContextKey(key)): merge for key, merge in stored.items()}
