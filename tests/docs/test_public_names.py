"""What `durum` offers is fixed: a name that goes or comes is a decision, and is seen here."""

from __future__ import annotations

import inspect

import pytest

import durum

PUBLIC = (
    "DependencyEdge",
    "Durum",
    "DurumError",
    "DynContext",
    "EventRecorder",
    "ExecResult",
    "ExecutionPlan",
    "Happened",
    "HttpResponse",
    "Io",
    "IoCall",
    "IoProvider",
    "IoResult",
    "RateLimitedError",
    "Retry",
    "RunConfig",
    "Secret",
    "SideEffectKind",
    "State",
    "StateMeta",
    "StateNode",
    "StateOutcome",
    "StepError",
    "StoredFile",
    "Transport",
    "TransportCall",
    "TransportError",
    "UnknownEffect",
    "Watcher",
    "Workflow",
    "canonical_json",
    "digest",
    "open",
)


def test_the_public_names_are_these() -> None:
    """Adding one is a promise to keep it, removing one breaks people: either changes this list and CHANGELOG.md."""
    assert sorted(durum.__all__) == sorted(PUBLIC)


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_says_what_it_is(name: str) -> None:
    """Each has a docstring of its own, and so has every public method."""
    thing = getattr(durum, name)
    assert inspect.getdoc(thing)
    if inspect.isclass(thing):
        assert thing.__doc__
        own = {method: value for method, value in vars(thing).items() if inspect.isfunction(value) and method[0] != "_"}
        assert [method for method, value in own.items() if not value.__doc__] == []
