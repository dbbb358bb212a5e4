"""Workflows of plain functions: a parameter's name says what a step needs, its function's name what it gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, Unpack, overload

from durum.core.facts import ENGINE_NAMESPACES
from durum.core.ids import OpId
from durum.core.merges import APPEND
from durum.core.meta import SideEffectKind
from durum.core.plan import DependencyEdge, ExecutionPlan
from durum.core.private_hosts import private_host
from durum.core.state import SnapshotPolicy
from durum.errors import ConfigError, InvalidIdError, WorkflowDefinitionError
from durum.workflow.expansion import StepDefinition, expand
from durum.workflow.inputs import Inputs
from durum.workflow.merges import DeclaredMerges, Merge
from durum.workflow.options import StepOptions, did_you_mean, in_order, problem, wrong_texts
from durum.workflow.signature import read_signature

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from durum.core.canonical import JsonObject
    from durum.ports import Transport

P = ParamSpec("P")
R = TypeVar("R")

_HINTS = {"io": "annotate it, as in io: Io", "self": "a step is a function, not a method"}
_MOST_NAMED = 20


class Workflow:
    """A named, versioned set of steps and declared inputs.

    ``exec`` lists the commands its steps may run, ``private_hosts`` the hosts (``host`` or ``host:port``) with private or
    loopback addresses they may reach, ``transports`` further namespaces as namespace -> factory.
    """

    def __init__(
        self,
        name: str,
        *,
        version: str = "1",
        inputs: type | None = None,
        exec: Collection[str] = (),  # noqa: A002 - the word people know it by
        private_hosts: Collection[str] = (),
        transports: Mapping[str, Callable[[], Transport]] | None = None,
    ) -> None:
        try:
            self.name = str(OpId(name))
        except InvalidIdError as error:
            raise WorkflowDefinitionError(str(name), str(error)) from error
        if wrong_texts(exec) or wrong_texts(private_hosts):
            raise WorkflowDefinitionError(name, "exec and private_hosts are lists of texts, such as exec=['git']")
        if not isinstance(version, str):
            raise WorkflowDefinitionError(name, f"has version={version!r}; give a text, such as version='{version}'")
        self.version = version
        self.inputs = Inputs(name, inputs)
        self.commands = in_order(exec)
        self.private_hosts = _hosts(name, private_hosts)
        self.transports = dict(transports or {})
        taken = sorted(self.transports.keys() & ENGINE_NAMESPACES)
        if taken:
            raise WorkflowDefinitionError(name, f"namespace {taken[0]!r} is the engine's own; give the transport another name")
        self._steps: dict[str, StepDefinition] = {}
        self._merges = DeclaredMerges(name)

    # --- declaring --------------------------------------------------------------------------------------------------

    def key(self, name: str, *, merge: Merge) -> None:
        """Declare how what several steps return under a context key comes together, in the order of the plan.

        "append" adds lists up, "union" without repeating items, "sum" adds numbers, "min" and "max" choose a number or text,
        "last" keeps the latest, "error" (the default) refuses a second writer. A function ``(old, new) -> value`` of one's own
        is pure and quick, takes and gives JSON, and gets None for ``old`` while the key is absent.

        Raises:
            WorkflowDefinitionError: it is no merge, or another one was declared for the key.
        """
        self._merges.declare(name, merge)

    @overload
    def step(self, function: Callable[P, R], /) -> Callable[P, R]: ...

    @overload
    def step(self, /, **options: Unpack[StepOptions]) -> Callable[[Callable[P, R]], Callable[P, R]]: ...

    def step(self, function: Callable[..., Any] | None = None, /, **options: Unpack[StepOptions]) -> Callable[..., Any]:
        """Make a function a step; it stays a plain function, callable in a test. ``StepOptions`` says what can be declared.

        Raises:
            WorkflowDefinitionError: the declaration contradicts itself or another.
        """
        if function is not None:
            self._add(function, options)
            return function

        def decorate(decorated: Callable[..., Any]) -> Callable[..., Any]:
            self._add(decorated, options)
            return decorated

        return decorate

    def _add(self, function: Callable[..., Any], options: StepOptions) -> None:
        step = options.get("name") or str(getattr(function, "__name__", ""))
        signature = read_signature(self.name, step, function)
        if step in self._steps:
            raise self._refuse(step, "is defined twice; pass name= to one of them")
        if wrong := problem(options, signature):
            raise self._refuse(step, wrong)
        writes, timeout = options.get("writes"), options.get("timeout")
        natural = SideEffectKind.PURE if signature.io_parameter is None else SideEffectKind.READ_ONLY_IO
        self._steps[step] = StepDefinition(
            name=step,
            function=function,
            signature=signature,
            writes=writes or (step if signature.gives else None),
            effects=SideEffectKind(options.get("effects") or natural),
            tags=in_order(options.get("tags", ())),
            retry=options.get("retry"),
            timeout=timeout,
            after=self._names_of(step, options.get("after", ())),
            idempotency=options.get("idempotency"),
            idempotent=options.get("idempotent", False),
            reconcile=options.get("reconcile"),
            blocking=options.get("blocking", False) or (timeout is not None and not signature.is_async),
            version=options.get("version", ""),
            each=options.get("each"),
            on_missing=options.get("on_missing", "fail"),
            max_concurrency=options.get("max_concurrency"),
            child=options.get("child"),
            result=options.get("result"),
            snapshot=SnapshotPolicy(options.get("snapshot", "on_success")),
        )

    def _refuse(self, step: str, reason: str) -> WorkflowDefinitionError:
        return WorkflowDefinitionError(self.name, f"step {step} {reason}")

    def _names_of(self, step: str, after: Collection[Callable[..., Any] | str]) -> tuple[str, ...]:
        names = [self._name_of(step, item) for item in after]
        return in_order(set(names) if isinstance(after, set | frozenset) else names)

    def _name_of(self, step: str, function: Callable[..., Any] | str) -> str:
        if isinstance(function, str):
            return function
        for definition in self._steps.values():
            if definition.function == function:  # two bound methods are never the same object
                return definition.name
        raise self._refuse(step, f"waits for {getattr(function, '__name__', function)!r}, which is no step declared before it")

    # --- expanding --------------------------------------------------------------------------------------------------

    def parse_inputs(self, given: Mapping[str, object], *, texts: bool = False) -> JsonObject:
        """Return inputs converted to their declared types, as JSON."""
        return self.inputs.convert(given, texts=texts)

    def plan(self) -> ExecutionPlan:
        """Return the executable plan: one state a step, edges from the names.

        Raises:
            WorkflowDefinitionError: a parameter names nothing, or two steps write one key.
            PlanValidationError: the names form a cycle, or there are no steps.
        """
        writers = self._writers()
        expansions = {
            name: expand(
                self.name,
                definition,
                appends=self._merges.appends(definition.writes),
                merges=self._merges.merged(definition.writes),
            )
            for name, definition in self._steps.items()
        }
        edges: list[DependencyEdge] = []
        for name, expansion in expansions.items():
            waits_for = self._dependencies(self._steps[name], writers)
            edges += [DependencyEdge(expansions[dep].last, expansion.first) for dep in waits_for]
            edges += expansion.edges
        states = tuple(state for expansion in expansions.values() for state in expansion.states)
        plan = ExecutionPlan(self.name, states, tuple(edges), self._named_merges(), self._merges.reducers())
        _ = plan.shape
        return plan

    def _named_merges(self) -> dict[str, str]:
        """Return how keys merge: as declared, and the results of items in their order."""
        gathered = [step.writes for step in self._steps.values() if step.each is not None and step.writes is not None]
        return {key: APPEND for key in gathered if not self._merges.merged(key)} | self._merges.names()

    def _writers(self) -> dict[str, list[str]]:
        writers: dict[str, list[str]] = {}
        for definition in self._steps.values():
            if definition.writes is None:
                continue
            if definition.writes in self.inputs.names and not self._merges.merged(definition.writes):
                raise self._refuse(
                    definition.name, f"writes {definition.writes!r}, which is an input; give writes= another key"
                )
            earlier = writers.setdefault(definition.writes, [])
            if earlier and not self._merges.merged(definition.writes):
                key = definition.writes
                reason = (
                    f"writes {key!r}, as step {earlier[0]} does; give it another key or declare key({key!r}, merge='append')"
                )
                raise self._refuse(definition.name, reason)
            earlier.append(definition.name)
        for key in self._merges.keys:
            if key not in writers and (hint := did_you_mean(key, writers)):
                raise WorkflowDefinitionError(self.name, f"key {key!r} is declared, but no step writes it{hint}")
        return writers

    def _dependencies(self, definition: StepDefinition, writers: Mapping[str, list[str]]) -> list[str]:
        if shadowed := next((name for name in definition.given if name in {*self.inputs.names, *writers}), None):
            raise self._refuse(definition.name, f"is given {shadowed!r} with each item, but that is a key too; rename the key")
        deps: dict[str, None] = {}
        optional = {parameter.name for parameter in definition.signature.parameters if not parameter.required}
        for name in definition.reads:
            sources = writers.get(name, [])
            if definition.name in sources and self._merges.merged(name):
                sources = sources[: sources.index(definition.name)]  # a key it adds to itself: what was added before
            elif definition.name in sources:
                raise self._refuse(definition.name, f"asks for {name!r}, which it writes itself; give writes= another key")
            elif not sources and name not in self.inputs.names and name not in optional:
                raise self._refuse(definition.name, self._nobody_gives(name, writers))
            deps.update(dict.fromkeys(sources))
        for step in definition.after:
            if step not in self._steps:
                raise self._refuse(definition.name, f"waits for {step!r}, which is no step{did_you_mean(step, self._steps)}")
            deps[step] = None
        return list(deps)

    def _nobody_gives(self, name: str, writers: Mapping[str, list[str]]) -> str:
        if name in self._steps:
            gives = self._steps[name].writes
            instead = "returns nothing" if gives is None else f"writes {gives!r}"
            return f"asks for {name!r}, but step {name} {instead}; wait for it with after=, or give it that key"
        if name in _HINTS:
            return f"asks for {name!r}, which is no input and no step's key; {_HINTS[name]}"
        known = [*self.inputs.names, *writers]
        hint = did_you_mean(name, known, f"; known are {', '.join(known[:_MOST_NAMED]) or 'none'}")
        return f"asks for {name!r}, which is no input and no step's key{hint}"


def _hosts(workflow: str, entries: Collection[str]) -> tuple[str, ...]:
    """Return hosts as given, each of them one that can be reached."""
    for entry in entries:
        try:
            private_host(entry)
        except ConfigError as error:
            raise WorkflowDefinitionError(workflow, str(error)) from error
    return in_order(entries)
