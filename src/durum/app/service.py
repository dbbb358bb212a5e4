"""The use cases, one method each; command line and Python call only this."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import os
import tempfile
import threading
import time
import uuid
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

import msgspec

from durum.app import wiring
from durum.app.provenance import code_folder, provenance
from durum.app.targets import configured_targets, load_target, load_workflows
from durum.core.canonical import canonical_json, digest, digest_bytes, normalized
from durum.core.config import RunConfig
from durum.core.ids import ArtifactId, ContextKey, RunId
from durum.core.manifest import RunManifest
from durum.core.plan import ExecutionPlan, shape_bytes
from durum.core.replay import Divergence
from durum.core.secrets import refuse_secrets
from durum.engine.artifacts import ArtifactReader
from durum.engine.engine import Engine, StartRun, Store, Watcher
from durum.engine.logs import add_place_to_records
from durum.engine.recovery import LoadedRun, load_run
from durum.engine.snapshots import Snapshots
from durum.engine.system import SystemClock, SystemEntropy
from durum.errors import (
    ConfigError,
    CorruptionError,
    InvalidIdError,
    NotFoundError,
    RunExistsError,
    RunOwnedError,
    StoreUnavailableError,
    TargetError,
)
from durum.history import views
from durum.history.replay import ReplayResult, check_decisions, reproduce
from durum.history.verify import VerifyResult, verify
from durum.workflow.authoring import Workflow

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence

    from durum.core.canonical import JsonObject, JsonValue
    from durum.ports import Clock, Entropy, Head

T = TypeVar("T")
Code = Workflow | ExecutionPlan | str

_SHORTEST_PREFIX = 4
_ATTACH_TRIES = 100
_ATTACH_SECONDS = 0.02
_LS_HINT = "list the runs of this store with: durum ls"


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
        """Close the store and give up what this process owns."""
        _wait(self._store.close())

    # --- driving ----------------------------------------------------------------------------------------------------

    def start(
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
    ) -> JsonObject:
        """Start a run and drive it until it ends or parks; return its summary.

        ``texts``: input values were typed, convert them. ``key``: an invocation key; the same key finds the run it started
        before and returns it as it stands, with ``attached`` true.

        Raises:
            InvalidInputError, RunExistsError, TargetError, WorkflowDefinitionError, PlanValidationError.
        """
        workflow, plan = _resolve(code)
        context = _plain_context(inputs or {}) if workflow is None else workflow.parse_inputs(inputs or {}, texts=texts)
        identity = self._new_id(run_id, key, plan)
        if key is not None and self._is_begun(identity):
            return self._attached(identity)
        manifest = self._manifest(workflow, plan, context, config or RunConfig())
        run = StartRun(identity, manifest, plan, context)
        engine = self._engine(workflow, watcher)
        started = None if on_started is None else (lambda: on_started(identity))
        try:
            _wait(engine.start(run, started))
        except (RunExistsError, RunOwnedError):
            if key is None:
                raise
            return self._attached(identity)  # another process was faster with the same key
        return self.show(identity)

    def _is_begun(self, run_id: str) -> bool:
        """Tell whether a run has a first event; one whose process died before that may be started again."""
        head = _wait(self._store.head(run_id))
        return head is not None and head.seq > 0

    def _attached(self, run_id: str) -> JsonObject:
        for _ in range(_ATTACH_TRIES):
            if self._is_begun(run_id):
                break
            time.sleep(_ATTACH_SECONDS)  # whoever claimed it is about to append its first event
        return {**self.show(run_id), "attached": True}

    def resume(
        self, run_id: str, code: Code | None = None, *, repeat: str | None = None, watcher: Watcher | None = None
    ) -> JsonObject:
        """Drive a run on; ``code`` None looks in ``[tool.durum] workflows`` of the working directory's pyproject.toml.

        ``repeat`` is the key of the effect the run is paused for: someone looked and lets it be tried again.

        Raises:
            NotFoundError, RunOwnedError, PlanChangedError, TargetError.
        """
        run = self._load(run_id)
        if run.state.over:
            return self.show(run.state.run_id)
        workflow, plan = self._code_for(run, code)
        _wait(self._engine(workflow, watcher).resume(run.state.run_id, plan, repeat))
        return self.show(run.state.run_id)

    def _engine(self, workflow: Workflow | None, watcher: Watcher | None) -> Engine:
        add_place_to_records()
        return Engine(self._store, wiring.transports(workflow), self._clock, self._entropy, watcher)

    def _new_id(self, run_id: str | None, key: str | None, plan: ExecutionPlan) -> str:
        if run_id is not None:
            identity = str(RunId.parse(run_id))
            if self._is_begun(identity):
                raise RunExistsError(identity)
            return identity
        if key == "":
            raise ConfigError("the invocation key is empty; give each job a key of its own, or none")
        if key is not None:  # only the digest of the key is in the id; the key itself is stored nowhere
            return str(uuid.uuid5(uuid.NAMESPACE_OID, digest({"key": key, "op_id": plan.op_id})))
        return str(RunId.new(self._clock.now_ms(), self._entropy.random_bytes(10)))

    @staticmethod
    def _manifest(workflow: Workflow | None, plan: ExecutionPlan, context: JsonObject, config: RunConfig) -> RunManifest:
        shape = plan.shape
        allow = {} if workflow is None else {"exec": workflow.commands, "private_hosts": workflow.private_hosts}
        return RunManifest(
            op_id=plan.op_id,
            op_version="1" if workflow is None else workflow.version,
            input_params=msgspec.Raw(canonical_json(context)),
            run_config=config,
            build=provenance(shape, code_folder(plan)),
            plan_id=digest_bytes(shape_bytes(shape)),
            allow=allow,
        )

    def _code_for(self, run: LoadedRun, code: Code | None, verb: str = "resume") -> tuple[Workflow | None, ExecutionPlan]:
        """Return the code of a run: only what a person named is looked at; the stored op id just selects among it."""
        run_id, op_id = run.state.run_id, run.state.plan.op_id
        if isinstance(code, Workflow | ExecutionPlan):
            return _resolve(code)
        named: Sequence[str] = configured_targets() if code is None else (code,)
        if not named:
            raise TargetError(op_id, f"no code was named for this run; name its file: durum {verb} {run_id} --with FILE.py")
        found: list[Workflow] = [flow for target in named for flow in load_workflows(target).values() if flow.name == op_id]
        if not found:
            places = ", ".join(named)
            raise TargetError(places, f"it holds no workflow {op_id}; name its file: durum {verb} {run_id} --with FILE.py")
        exact = [flow for flow in found if flow.version == run.manifest.op_version]
        workflow = (exact or found)[0]
        return workflow, workflow.plan()

    # --- looking ----------------------------------------------------------------------------------------------------

    def runs(self) -> list[JsonObject]:
        """Return the summary of every run, newest first; one whose record cannot be read is there as ``damaged``."""

        async def read() -> list[JsonObject]:
            return [await self._listed(head) for head in await self._store.heads()]

        return _wait(read())

    async def _listed(self, head: Head) -> JsonObject:
        try:
            return await self._summary(head.run_id)
        except CorruptionError as error:
            return views.damaged(head, error)

    def show(self, run_id: str) -> JsonObject:
        """Return a run's summary."""
        return _wait(self._summary(self._find(run_id)))

    async def _summary(self, run_id: str) -> JsonObject:
        run = await load_run(self._store, self._reader, run_id)
        head = await self._store.head(run_id)
        alive = head is not None and head.owner is not None and await self._store.is_alive(head.owner)
        return views.summary(run, owner_alive=alive)

    def states(self, run_id: str) -> list[JsonObject]:
        """Return every state of a run."""
        return views.states(self._load(run_id))

    def events(self, run_id: str, from_seq: int = 1) -> list[JsonObject]:
        """Return a run's envelopes from ``from_seq`` on."""
        return [views.envelope_json(envelope) for envelope in self._load(run_id).envelopes if envelope.seq >= from_seq]

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

        return _wait(read())

    def facts(self, run_id: str) -> list[JsonObject]:
        """Return every recorded fact of a run."""
        return views.facts(self._load(run_id))

    def artifact(self, artifact_id: str) -> bytes:
        """Return an artifact's bytes."""
        return _wait(self._reader.get(ArtifactId(artifact_id)))

    def graph(self, run_or_target: str) -> list[JsonObject]:
        """Return the plan of a run (with statuses) or of a TARGET, by waves."""
        try:
            run_id = self._find(run_or_target)
        except (InvalidIdError, NotFoundError):
            return graph_of(run_or_target)
        run = self._load(run_id)
        return views.graph(run.state.plan, run.state)

    # --- evidence ---------------------------------------------------------------------------------------------------

    def replay(
        self, run_id: str, mode: str = "verify", code: Code | None = None, watch: Callable[[str, int], None] | None = None
    ) -> ReplayResult:
        """Replay a run offline: "verify" folds and checks the log, "reproduce" executes every attempt from the record."""
        if mode not in {"verify", "reproduce"}:
            raise ConfigError(f"replay mode {mode!r} is not one; use verify or reproduce")
        bad = self.verify(run_id).first_bad
        if bad is not None:
            return ReplayResult(mode, None, 0, 0, Divergence("record", None, None, bad.seq, f"{bad.what}: {bad.reason}"))
        run = self._load(run_id)
        if mode == "reproduce":
            _, plan = self._code_for(run, code, "replay")
            return _wait(reproduce(run, plan, self._reader, watch))
        final = None if run.state.completed is None else run.state.completed.final_snapshot_id
        return ReplayResult(mode, final, 0, 0, check_decisions(run))

    def verify(self, run_id: str, head: str | None = None) -> VerifyResult:
        """Check that a run's record is whole, and that the head someone kept is still in it."""
        return _wait(verify(self._store, ArtifactReader(self._store), self._find(run_id), head))

    # --- inside -----------------------------------------------------------------------------------------------------

    def _find(self, run_id: str) -> str:
        """Return a run's full id; a unique beginning of it will do."""
        text = run_id.lower()
        try:
            return str(RunId.parse(text))
        except InvalidIdError:
            matches = [
                head.run_id
                for head in _wait(self._store.heads())
                if len(text) >= _SHORTEST_PREFIX and head.run_id.startswith(text)
            ]
            if len(matches) == 1:
                return matches[0]
            if matches:
                raise NotFoundError("single run", run_id, f"{len(matches)} runs begin so; type more of it") from None
            short = f"a beginning needs {_SHORTEST_PREFIX} characters or more; " if len(text) < _SHORTEST_PREFIX else ""
            raise NotFoundError("run", run_id, short + _LS_HINT) from None

    def _load(self, run_id: str) -> LoadedRun:
        return _wait(load_run(self._store, self._reader, self._find(run_id)))


def graph_of(target: str) -> list[JsonObject]:
    """Return the plan of a TARGET by waves."""
    return views.graph(load_target(target).plan().shape)


def store_url(url: str | None = None) -> str:
    """Return the store a URL means; None: ``DURUM_STORE``, else ``sqlite:///.durum/durum.db`` under the working directory."""
    return url or os.environ.get("DURUM_STORE") or wiring.DEFAULT_STORE


def open_store(url: str | None = None, *, create: bool = True) -> Durum:
    """Open a store by URL; None takes the one ``store_url`` names."""
    return Durum(store_url(url), create=create)


def probe_store(url: str) -> JsonObject:
    """Try a store of its own beside the one ``url`` names, remove it, and say what it is made of; the named one is not touched.

    Raises:
        ConfigError, StoreUnavailableError.
    """
    path = wiring.store_path(url)
    place = next(folder for folder in path.absolute().parents if folder.exists())
    from durum.stores.sqlite_file import SCHEMA_VERSION, open_database  # noqa: PLC0415

    try:
        with tempfile.TemporaryDirectory(prefix=".durum-doctor-", dir=place) as folder:
            connection = open_database(Path(folder) / "probe.db", create=True)
            (version,) = connection.execute("SELECT sqlite_version()").fetchone()
            connection.close()
    except OSError as error:
        raise StoreUnavailableError(str(path), f"{error.strerror or error}; choose another place with --store") from error
    return {"path": str(path), "folder": str(place), "sqlite_version": version, "schema_version": SCHEMA_VERSION}


def _plain_context(values: Mapping[str, object]) -> JsonObject:
    """Return the initial context of a bare plan: any keys, JSON values without secrets."""
    context: JsonObject = {str(ContextKey(key)): normalized(value) for key, value in values.items()}
    refuse_secrets("the initial context", canonical_json(context))
    return context


def _resolve(code: Code) -> tuple[Workflow | None, ExecutionPlan]:
    if isinstance(code, ExecutionPlan):
        return None, code
    workflow = load_target(code) if isinstance(code, str) else code
    return workflow, workflow.plan()


def _wait(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end from blocking code, inside a running loop too (in a thread of its own)."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    done: Future[T] = Future()
    under_way: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]]] = []

    async def main() -> T:
        task = asyncio.current_task()
        assert task is not None
        under_way.append((asyncio.get_running_loop(), task))
        return await work

    def run() -> None:
        try:
            done.set_result(asyncio.run(main()))
        except BaseException as error:  # noqa: BLE001 - carried over to the caller's thread
            done.set_exception(error)

    thread = threading.Thread(target=contextvars.copy_context().run, args=(run,), name="durum")
    thread.start()
    try:
        return done.result()
    except KeyboardInterrupt:  # a notebook's stop button: end the run as Ctrl-C does elsewhere, do not leave it behind
        with contextlib.suppress(RuntimeError):  # the loop may be closed already
            for loop, task in under_way:
                loop.call_soon_threadsafe(task.cancel)
        raise
    finally:
        thread.join()
