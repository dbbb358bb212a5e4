"""The use cases, one method each; command line and Python call only this."""

from __future__ import annotations

import contextlib
import os
from functools import cache
from typing import TYPE_CHECKING, Self

from durum.app import wiring
from durum.app.blocking import wait
from durum.app.follower import Follower
from durum.app.invocation import Invocation, child_code, invocation, start_run
from durum.app.invocation_key import check_key, refuse_other_body, run_id_of, start_once
from durum.app.lookup import find_run
from durum.app.run_code import Code, Codes, code_of
from durum.app.steering import Steering, actor_or_user, check_texts
from durum.app.targets import configured_targets, load_target
from durum.app.worker import CONCURRENCY, Report, Worker
from durum.core.ids import ArtifactId, RunId
from durum.core.run_plan import RunPlan
from durum.engine.artifacts import ArtifactReader
from durum.engine.engine import Engine, Store, Watcher
from durum.engine.inbox import Mailroom
from durum.engine.logs import add_place_to_records
from durum.engine.recovery import LoadedRun, load_run
from durum.engine.snapshots import Snapshots
from durum.engine.stop import Stop
from durum.engine.system import SystemClock, SystemEntropy
from durum.errors import ConfigError, CorruptionError, InvalidIdError, NotFoundError, OutOfFilesError
from durum.history import views
from durum.history.replay import ReplayResult, folded, reproduce
from durum.history.verify import VerifyResult, examine, verify

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from durum.core.canonical import JsonObject, JsonValue
    from durum.core.config import RunConfig
    from durum.core.manifest import RunManifest
    from durum.core.run_state import RunState
    from durum.engine.engine import ChildCodes, StartRun
    from durum.ports import Clock, Entropy, Head
    from durum.workflow.authoring import Workflow


class Durum:
    """One open store and everything that can be done with it. Methods block; they may be called inside a running event loop."""

    def __init__(self, url: str, *, create: bool = True, clock: Clock | None = None, entropy: Entropy | None = None) -> None:
        self.url = url
        self._store: Store = wiring.open_store(url, create=create)
        self._reader = ArtifactReader(self._store)
        self._clock = clock or SystemClock()
        self._entropy = entropy or SystemEntropy()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the store and give up what this process owns; if there is no room for that, the end of the process does it."""
        with contextlib.suppress(OutOfFilesError):
            wait(self._store.close())

    # --- driving ----------------------------------------------------------------------------------------------------

    def start(  # noqa: PLR0913 - what a run is asked for, each by keyword
        self,
        code: Code,
        inputs: Mapping[str, object] | None = None,
        *,
        texts: bool = False,
        run_id: str | None = None,
        key: str | None = None,
        config: RunConfig | None = None,
        on_started: Callable[[str], None] | None = None,
        watcher: Watcher | None = None,
        stop: Stop | None = None,
        detach: bool = False,
    ) -> JsonObject:
        """Start a run and drive it until it ends or parks; return its summary. ``detach``: leave that to a worker.

        ``texts``: input values were typed, convert them. ``key``: an invocation key; the same key finds the run of this
        workflow it started before and returns it as it stands, with ``attached`` true, without driving it.

        Raises:
            InvalidInputError, RunExistsError, TargetError, WorkflowDefinitionError, PlanValidationError.
            KeyReusedError: the key was used with other inputs, another version or other settings.
        """
        asked = invocation(code, inputs, config, texts=texts)
        identity = self._identity(run_id, key, asked.plan.op_id)
        if key is not None and self._is_begun(identity):  # before anything is made for a run that will not be
            return self._attached(identity, asked)
        run = start_run(identity, asked)
        engine = self._engine(asked.workflow, watcher, stop)
        started = None if on_started is None else (lambda: on_started(identity))
        if key is None:
            return wait(self._started(engine, run, started, detach=detach))
        if not wait(start_once(self._store, identity, lambda: engine.start(run, started, detach=detach))):
            return self._attached(identity, asked)
        return self.show(identity)

    async def _started(
        self, engine: Engine, run: StartRun, on_started: Callable[[], None] | None, *, detach: bool
    ) -> JsonObject:
        return await self._summary_after(await engine.start(run, on_started, detach=detach), run.manifest)

    def _identity(self, run_id: str | None, key: str | None, op_id: str) -> str:
        if key is not None:
            check_key(key)
            if run_id is not None:
                raise ConfigError("a run id and an invocation key both choose the run's id; give one of them")
            return run_id_of(key, op_id)
        if run_id is not None:
            return str(RunId.parse(run_id))
        return str(RunId.new(self._clock.now_ms(), self._entropy.random_bytes(10)))

    def _is_begun(self, run_id: str) -> bool:
        """Tell whether a run has a first event; one whose process died before that may be started again."""
        head = wait(self._store.head(run_id))
        return head is not None and head.seq > 0

    def _attached(self, run_id: str, asked: Invocation) -> JsonObject:
        refuse_other_body(self._load(run_id), asked)
        return {**self.show(run_id), "attached": True}

    def resume(
        self,
        run_id: str,
        code: Code | None = None,
        *,
        actor: str | None = None,
        watcher: Watcher | None = None,
        stop: Stop | None = None,
    ) -> JsonObject:
        """Drive a run on; ``code`` None looks in ``[tool.durum] workflows`` of the working directory's pyproject.toml.

        A paused run goes on on the word of ``actor``, default: the user of this process.

        Raises:
            NotFoundError, RunOwnedError, PlanChangedError, TargetError.
        """
        run = self._load(run_id)
        if run.state.over:
            return wait(self._summary_of(run.state, run.manifest))
        actor = actor_or_user(actor)
        check_texts(actor)
        workflow, plan = code_of(run, code, "resume")
        engine = self._engine(workflow, watcher, stop)

        async def drive() -> JsonObject:
            return await self._summary_after(await engine.resume(run.state.run_id, plan, actor, run), run.manifest)

        return wait(drive())

    def work(
        self,
        codes: Iterable[Code] | None = None,
        *,
        concurrency: int = CONCURRENCY,
        until_idle: bool = False,
        tell: Callable[[Report], None] | None = None,
        stop: Stop | None = None,
    ) -> None:
        """Drive the runs of these workflows that nobody drives, orphans first, until told to stop.

        ``codes`` None takes ``[tool.durum] workflows``. ``until_idle``: return once nothing is due. ``tell`` hears what becomes
        of each run.

        Raises:
            TargetError: nothing was named, or it cannot be loaded.
        """
        if concurrency < 1:
            raise ConfigError(f"a worker drives at least one run at a time, not {concurrency}")
        known = Codes(configured_targets() if codes is None else codes)
        stop, mailroom, child_codes = stop or Stop(), Mailroom(self._store), cache(child_code)

        def engine(workflow: Workflow | None, watcher: Watcher) -> Engine:
            return self._engine(workflow, watcher, stop, child_codes, mailroom)

        worker = Worker(
            self._store,
            self._clock,
            self._entropy,
            known.find,
            engine,
            stop=stop,
            tell=tell or (lambda _: None),
            concurrency=concurrency,
        )
        wait(worker.work(until_idle=until_idle))

    def _engine(
        self,
        workflow: Workflow | None,
        watcher: Watcher | None,
        stop: Stop | None,
        child_codes: ChildCodes | None = None,
        mailroom: Mailroom | None = None,
    ) -> Engine:
        add_place_to_records()
        ports = (self._store, wiring.transports(workflow), self._clock, self._entropy)
        codes = child_codes or cache(child_code)
        return Engine(*ports, watcher, codes, mailroom=mailroom, stop=stop, reader=self._reader)

    # --- steering ---------------------------------------------------------------------------------------------------

    def gates(self, run_id: str | None = None) -> list[JsonObject]:
        """Return what waits for an answer: of one run, or of all of them."""
        ids = [head.run_id for head in wait(self._store.heads())] if run_id is None else [self._find(run_id)]
        rows: list[JsonObject] = []
        for identity in ids:
            with contextlib.suppress(*(() if run_id else (CorruptionError,))):  # a damaged run must not hide the others
                rows += views.gates(wait(load_run(self._store, self._reader, identity)))
        return rows

    def answer(
        self, run_id: str, gate: str, fields: Mapping[str, object], *, actor: str | None = None, reason: str = ""
    ) -> JsonObject:
        """Answer a gate, named as ``NAME@DIGEST``, for the answer counts only for what was shown; return the run's summary.

        Raises:
            NotFoundError, AnswerError, RunOverError.
        """
        identity = self._find(run_id)
        wait(self._steering.answer(identity, gate, fields, actor_or_user(actor), reason))
        return self.show(identity)

    def cancel(self, run_id: str, *, actor: str | None = None, reason: str = "") -> JsonObject:
        """End a run: whoever drives it cancels what is under way; ``RunOverError`` if it is over."""
        return self._steer(run_id, "cancel", actor, reason)

    def pause(self, run_id: str, *, actor: str | None = None, reason: str = "") -> JsonObject:
        """Let a run stop at its next boundary, until it is resumed; ``RunOverError`` if it is over."""
        return self._steer(run_id, "pause", actor, reason)

    def _steer(self, run_id: str, word: str, actor: str | None, reason: str) -> JsonObject:
        identity = self._find(run_id)
        wait(self._steering.steer(identity, word, actor_or_user(actor), reason))
        return self.show(identity)

    @property
    def _steering(self) -> Steering:
        return Steering(self._store, self._reader, self._clock)

    # --- looking ----------------------------------------------------------------------------------------------------

    def runs(self) -> list[JsonObject]:
        """Return the summary of every run, newest first; one whose record cannot be read is there as ``damaged``."""

        async def read() -> list[JsonObject]:
            return [await self._listed(head) for head in await self._store.heads()]

        return wait(read())

    async def _listed(self, head: Head) -> JsonObject:
        try:
            return await self._summary(head.run_id)
        except CorruptionError as error:
            return views.damaged(head, error)

    def show(self, run_id: str) -> JsonObject:
        """Return a run's summary."""
        return wait(self._summary(self._find(run_id)))

    async def _summary(self, run_id: str) -> JsonObject:
        run = await load_run(self._store, self._reader, run_id)
        return await self._summary_of(run.state, run.manifest)

    async def _summary_of(self, state: RunState, manifest: RunManifest) -> JsonObject:
        alive = await self._is_driven(state.run_id)
        rests = views.rests_on_children(state) and not alive
        below = [await self._status(child) for child in state.children] if rests else []
        return views.summary(state, manifest, owner_alive=alive, below=below)

    async def _summary_after(self, state: RunState, manifest: RunManifest) -> JsonObject:
        """Return the summary of a run that was driven, as it was left unless somebody has taken it further."""
        head = await self._store.head(state.run_id)
        moved = head is None or head.seq != state.seq
        return await (self._summary(state.run_id) if moved else self._summary_of(state, manifest))

    async def _is_driven(self, run_id: str) -> bool:
        head = await self._store.head(run_id)
        return head is not None and head.owner is not None and await self._store.is_alive(head.owner)

    async def _status(self, run_id: str) -> str:
        try:
            return str((await self._summary(run_id))["status"])
        except (CorruptionError, NotFoundError):  # it cannot be read, or has not begun
            return views.INTERRUPTED

    def states(self, run_id: str) -> list[JsonObject]:
        """Return every state of a run."""
        run = self._load(run_id)
        return views.states(run, owner_alive=wait(self._is_driven(run.state.run_id)))

    def events(self, run_id: str, from_seq: int = 1) -> list[JsonObject]:
        """Return a run's envelopes from ``from_seq`` on."""
        return [views.envelope_json(envelope) for envelope in self._load(run_id).envelopes if envelope.seq >= from_seq]

    def follow(self, run_id: str, from_seq: int = 1) -> Follower:
        """Return what reads on in a run's log while it grows."""
        return Follower(self._store, self._find(run_id), from_seq)

    def context(self, run_id: str, key: str | None = None, *, at: int | None = None) -> JsonValue:
        """Return the context, or one key of it, now or as of event ``at``."""
        run = self._load(run_id)
        if at is not None and not 1 <= at <= run.state.seq:
            raise NotFoundError("event", str(at), f"the log of this run has events 1 to {run.state.seq}")

        async def read() -> JsonValue:
            snapshots = Snapshots(self._reader)
            tree = await snapshots.tree(views.snapshot_at(run, at))
            if key is None:
                return await snapshots.content(tree)
            try:
                return await snapshots.read(tree, key)
            except KeyError:
                known = ", ".join(item.key for item in tree.entries()) or "none"
                raise NotFoundError("context key", key, f"there are: {known}"[:500]) from None

        return wait(read())

    def facts(self, run_id: str) -> list[JsonObject]:
        """Return every recorded fact of a run."""
        return views.facts(self._load(run_id))

    def artifact(self, artifact_id: str) -> bytes:
        """Return an artifact's bytes."""
        return wait(self._reader.get(ArtifactId(artifact_id)))

    def write_artifact(self, artifact_id: str, write: Callable[[bytes], object]) -> None:
        """Hand an artifact's bytes to ``write`` piece by piece, in bounded memory whatever its size."""

        async def pass_on() -> None:
            async for chunk in self._reader.chunks(ArtifactId(artifact_id)):
                write(chunk)

        wait(pass_on())

    def graph(self, run_or_target: str) -> list[JsonObject]:
        """Return the plan of a run (with statuses) or of a TARGET, by waves."""
        try:
            run_id = self._find(run_or_target)
        except (InvalidIdError, NotFoundError):
            return graph_of(run_or_target)
        run = self._load(run_id)
        return views.graph(run.state.plan, run.state, owner_alive=wait(self._is_driven(run_id)))

    # --- evidence ---------------------------------------------------------------------------------------------------

    def replay(
        self, run_id: str, mode: str = "verify", code: Code | None = None, watch: Callable[[str, int], None] | None = None
    ) -> ReplayResult:
        """Replay a run offline: "verify" folds and checks the log, "reproduce" executes every attempt from the record."""
        if mode not in {"verify", "reproduce"}:
            raise ConfigError(f"replay mode {mode!r} is not one; use verify or reproduce")
        reader = ArtifactReader(self._store)
        found = wait(examine(self._store, reader, self._find(run_id)))
        if mode == "verify" or found.run is None:
            return folded(found, mode)
        _, plan = code_of(found.run, code, "replay")
        return wait(reproduce(found, plan, reader, watch))

    def verify(self, run_id: str, head: str | None = None) -> VerifyResult:
        """Check that a run's record is whole, and that the head someone kept is still in it."""
        return wait(verify(self._store, ArtifactReader(self._store), self._find(run_id), head))

    # --- inside -----------------------------------------------------------------------------------------------------

    def _find(self, run_id: str) -> str:
        return wait(find_run(self._store, run_id))

    def _load(self, run_id: str) -> LoadedRun:
        return wait(load_run(self._store, self._reader, self._find(run_id)))


def graph_of(target: str) -> list[JsonObject]:
    """Return the plan of a TARGET by waves."""
    return views.graph(RunPlan(load_target(target).plan().shape))


def store_url(url: str | None = None) -> str:
    """Return the store a URL means; None: ``DURUM_STORE``, else ``sqlite:///.durum/durum.db`` under the working directory."""
    return url or os.environ.get("DURUM_STORE") or wiring.DEFAULT_STORE


def open_store(url: str | None = None, *, create: bool = True) -> Durum:
    """Open a store by URL; None takes the one ``store_url`` names."""
    return Durum(store_url(url), create=create)
