"""What a gate asks, in words."""

from __future__ import annotations

import pytest

from durum.app.service import Durum
from durum.cli.gate_words import asked, gate_text, request_text, step_text
from durum.core.canonical import JsonObject, canonical_json
from durum.errors import NotFoundError


class Post(Durum):
    """A service of a run ``top`` whose item ``post[3]`` is the run ``kid``; its requests are named by what they ask."""

    def __init__(self, **requests: JsonObject) -> None:
        self._requests = requests

    def show(self, run_id: str) -> JsonObject:
        """Return which run started this one."""
        return {"parent": "top" if run_id == "kid" else None}

    def events(self, run_id: str, from_seq: int = 1) -> list[JsonObject]:
        """Return two child runs that ``top`` started."""
        assert (run_id, from_seq) == ("top", 1)
        return [
            {"event": {"kind": "run.started"}},
            {"event": {"kind": "child.spawned", "child_run_id": "other", "state_id": "wf.post.i2__spawn"}},
            {"event": {"kind": "child.spawned", "child_run_id": "kid", "state_id": "wf.post.i3__spawn"}},
        ]

    def artifact(self, artifact_id: str) -> bytes:
        """Return a request."""
        if artifact_id not in self._requests:
            raise NotFoundError("artifact", artifact_id, "")
        return canonical_json(self._requests[artifact_id])


def gate(run_id: str = "top", **more: str) -> JsonObject:
    """Make a gate of the second item of ``charge``."""
    return {
        "run_id": run_id,
        "gate": "charge.i1@3f2a91c0",
        "state_id": "wf.charge.i1",
        "subject": "run/wf.charge.i1",
        "prompt": "effect run/wf.charge.i1: nobody knows",
        "request_id": "it",
        **more,
    }


@pytest.mark.parametrize(
    ("namespace", "request_", "text"),
    [
        ("exec", {"argv": ["sh", "-c", "pay 7"]}, "exec sh -c 'pay 7'"),
        ("http", {"method": "POST", "url": "https://bank/pay", "body": {"text": "7"}}, "http POST https://bank/pay"),
        ("file", {"op": "write", "path": "out.txt", "content": {"text": "x"}}, "file write out.txt"),
        ("step", {"step": "charge"}, "step charge"),
        ("bank", {"sum": 7}, 'bank {"sum":7}'),
        ("http", {"link": "x"}, 'http {"link":"x"}'),
        ("exec", {"argv": ["rm", "\x1b[2J\n"]}, "exec rm '\\x1b[2J '"),
        ("bank", {"sum": "7" * 500}, 'bank {"sum":"' + "7" * 186 + "…"),
    ],
)
def test_a_request_in_short(namespace: str, request_: JsonObject, text: str) -> None:
    """By what it does to the world; one line that a terminal only shows, and no longer than people read."""
    (found,) = asked(Post(it={"namespace": namespace, "request": request_}), [gate()])
    assert (found["namespace"], found["request"]) == (namespace, request_)
    assert request_text(found) == text


def test_the_telling_part_stands_first() -> None:
    """The step, what it asks of the world, why nobody knows; the ids last."""
    (found,) = asked(Post(it={"namespace": "bank", "request": {"sum": 7}}), [gate()])
    assert gate_text(found) == 'charge[1]: bank {"sum":7}; nobody knows; gate charge.i1@3f2a91c0; effect run/wf.charge.i1'


def test_the_gate_of_a_child_names_the_item_above() -> None:
    """A path stands for the state where there is one."""
    (found,) = asked(Post(it={"namespace": "bank", "request": {}}), [gate("kid", path="charge[1].pay")])
    assert step_text(found) == "post[3] > charge[1].pay"


def test_a_request_that_is_gone_hides_no_gate() -> None:
    """What is known is shown."""
    (found,) = asked(Post(), [gate()])
    assert "request" not in found
    assert gate_text(found).startswith("charge[1]: nobody knows; gate ")
