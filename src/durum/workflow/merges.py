"""How an author declares that a context key with several writers comes together."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from durum.core.merges import APPEND, NAMED, Reducer
from durum.errors import WorkflowDefinitionError
from durum.workflow.code_digest import code_digest, unwrapped
from durum.workflow.options import wrong_key

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Merge: TypeAlias = "Literal['append', 'error', 'sum', 'min', 'max', 'union', 'last'] | Callable[[Any, Any], object]"

_ERROR = "error"
_WORDS = (APPEND, *NAMED, _ERROR)


class DeclaredMerges:
    """The merges of one workflow, by context key."""

    def __init__(self, workflow: str) -> None:
        self._workflow = workflow
        self._merges: dict[str, object] = {}

    def declare(self, key: str, merge: object) -> None:
        """Declare how a key merges.

        Raises:
            WorkflowDefinitionError: it is no merge, or another one was declared for the key.
        """
        if reason := wrong_key(key) or _wrong(key, merge):
            raise WorkflowDefinitionError(self._workflow, reason)
        if self._merges.setdefault(key, merge) != merge:
            raise WorkflowDefinitionError(self._workflow, f"key {key!r} is declared twice, with different merges; keep one")

    @property
    def keys(self) -> list[str]:
        """What was declared, the default included."""
        return list(self._merges)

    def merged(self, key: str | None) -> bool:
        """Tell whether several steps may write a key."""
        return key is not None and self._merges.get(key, _ERROR) != _ERROR

    def appends(self, key: str | None) -> bool:
        """Tell whether a step that writes the key returns a list of items to add."""
        return key is not None and self._merges.get(key) == APPEND

    def names(self) -> dict[str, str]:
        """Return the merges that go by a name."""
        return {key: merge for key, merge in self._merges.items() if isinstance(merge, str) and merge != _ERROR}

    def reducers(self) -> Mapping[str, Reducer]:
        """Return the merges that are functions, with the digests of their code."""
        return {key: Reducer(_name(merge), merge, code_digest(merge)) for key, merge in self._merges.items() if callable(merge)}


def _wrong(key: str, merge: object) -> str | None:
    """Return why something is no merge, None if it is one."""
    if isinstance(merge, str) and merge in _WORDS:
        return None
    if isinstance(merge, str) or not callable(merge):
        words = ", ".join(map(repr, _WORDS))
        return f"key {key} cannot merge by {merge!r}; use {words} or a function of the old value and the new one"
    name = _name(merge)
    if name in NAMED and getattr(merge, "__module__", None) == "builtins":
        return f"key {key} cannot merge by the builtin {name}, which knows no absent value; use {name!r}"
    if inspect.iscoroutinefunction(unwrapped(merge)[1]):
        return f"key {key} merges by {name}, which is async; a merge is a plain function of the old value and the new one"
    try:
        inspect.signature(merge).bind(None, None)
    except TypeError:
        return f"key {key} merges by {name}, which does not take two arguments; it is called with the old value and the new one"
    except ValueError:  # a builtin that does not tell its parameters
        pass
    return None


def _name(function: object) -> str:
    plain = unwrapped(function)[1] or function
    return str(getattr(plain, "__name__", type(plain).__name__))
