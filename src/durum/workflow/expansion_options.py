"""What is wrong with the declaration of a step that stands for several states: one for each item, or a child run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from durum.core.ids import ContextKey
from durum.errors import InvalidIdError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from durum.workflow.signature import Signature

ITEM = "item"
INDEX = "index"


def wrong_expansion(options: Mapping[str, object], signature: Signature) -> str | None:
    """Return what is wrong, as the end of a sentence that begins with the step; None if nothing is."""
    return _wrong_each(options, signature) or _wrong_child(options, signature) or _wrong_snapshot(options)


def _wrong_each(options: Mapping[str, object], signature: Signature) -> str | None:
    each = options.get("each")
    if each is None:
        alone = next((name for name in ("on_missing", "max_concurrency") if name in options), None)
        if alone is None and "{index}" in str(options.get("idempotency")):
            alone = "{index} in its idempotency key"
        return None if alone is None else f"has {alone}, which only a step with each= can have"
    if _no_key(each):
        return f"has each={each!r}; name the context key with the items, such as each='areas'"
    if all(parameter.name != ITEM for parameter in signature.parameters):
        return f"runs for each of {each!r} but takes no parameter {ITEM!r}; add it, as in def step({ITEM}: str)"
    if options.get("on_missing", "fail") not in {"fail", "skip"}:
        return f"has on_missing={options['on_missing']!r}; use 'fail' or 'skip'"
    most = options.get("max_concurrency", 1)
    if not isinstance(most, int) or isinstance(most, bool) or most < 1:
        return f"has max_concurrency={most!r}; give a number of items, at least 1"
    return None


def _wrong_child(options: Mapping[str, object], signature: Signature) -> str | None:
    child = options.get("child")
    if child is None:
        return "has result, which only a step with child= can have" if "result" in options else None
    if not (hasattr(child, "plan") and hasattr(child, "parse_inputs")):
        return f"has child={child!r}; give a Workflow"
    if "result" in options and _no_key(options["result"]):
        return f"has result={options['result']!r}; name a context key of the child"
    if options.get("effects", "pure") == "apply_side_effect":
        return "starts a child run and applies an effect; do the effect in a step of its own, or in the child"
    if not signature.gives:
        return "starts a child run but returns nothing; return the child's inputs"
    return None


def _wrong_snapshot(options: Mapping[str, object]) -> str | None:
    wish = options.get("snapshot", "on_success")
    return None if wish in {"on_success", "always"} else f"has snapshot={wish!r}; use 'on_success' or 'always'"


def _no_key(name: object) -> bool:
    try:
        ContextKey(name)
    except InvalidIdError:
        return True
    return False
