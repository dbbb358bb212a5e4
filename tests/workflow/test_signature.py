"""A signature says what a step needs and gives; one the engine could not call is refused with what to do about it."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Iterator  # noqa: TC003 - read at run time
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, Optional

import msgspec
import pytest
from pydantic import Field

from durum import Io, Workflow
from durum.errors import SerializationError
from durum.workflow.signature import Signature, read_signature
from tests.workflow.refusals import refused

if TYPE_CHECKING:
    from decimal import Decimal as Hidden

    from durum import Io as Reader


def read(function: Callable[..., Any], step: str = "one") -> Signature:
    """Read a function as step ``one`` of workflow ``flow``."""
    return read_signature("flow", step, function)


def names(signature: Signature) -> list[tuple[str, bool]]:
    """Return name of each parameter and whether it must be given."""
    return [(parameter.name, parameter.required) for parameter in signature.parameters]


# --- what a step asks for -------------------------------------------------------------------------------------------------


def plain(first: int, second: str = "x", *, third: list[str], fourth: float = 1.0) -> int:
    """A function with every kind of parameter that has a name."""
    return first + len(second) + len(third) + int(fourth)


async def with_io(first: int, io: Io) -> None:
    """An async function that takes Io."""
    del first, io


async def io_anywhere(*, reader: Io, first: int) -> None:
    """Io under another name, by keyword only, before another parameter."""
    del first, reader


async def io_as_text(first: int, io: "Io") -> None:  # noqa: UP037 - twice in quotes: what tools leave behind
    """Io in quotes under the future import."""
    del first, io


async def io_or_none(first: int, io: Io | None = None) -> None:
    """Io that a unit test need not give."""
    del first, io


async def io_optional(first: int, io: Optional[Io] = None) -> None:  # noqa: UP045 - the old spelling is still common
    """The old spelling."""
    del first, io


async def io_annotated(first: int, io: Annotated[Io, "the outside"]) -> None:
    """Io with a note."""
    del first, io


def test_parameters_are_read_by_name_with_their_defaults() -> None:
    """Order and kind do not matter, a default makes a parameter optional."""
    signature = read(plain)
    assert names(signature) == [("first", True), ("second", False), ("third", True), ("fourth", False)]
    assert (signature.io_parameter, signature.is_async, signature.gives) == (None, False, True)


@pytest.mark.parametrize("function", [with_io, io_as_text, io_or_none, io_optional, io_annotated])
def test_io_is_found_by_its_annotation_however_it_is_written(function: Callable[..., Any]) -> None:
    """It is no value of the context: alone, in quotes, ``| None`` for unit tests, or with a note."""
    signature = read(function)
    assert (signature.io_parameter, names(signature), signature.gives) == ("io", [("first", True)], False)


def test_io_may_have_any_name_and_place() -> None:
    """Only the annotation counts."""
    assert read(io_anywhere).io_parameter == "reader"


def test_a_function_without_annotations_passes_everything_through() -> None:
    """Nothing is checked where nothing is said, and a result is expected."""
    namespace: dict[str, Any] = {}
    exec("def bare(value, other=3): return value", namespace)  # noqa: S102 - mypy asks for annotations everywhere else
    signature = read(namespace["bare"])
    assert names(signature) == [("value", True), ("other", False)]
    assert signature.gives
    assert signature.parameters[0].converter.load("value", [1, "a"]) == [1, "a"]


# --- what else can be a step ----------------------------------------------------------------------------------------------


def wrapped(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a plain function around an async one, as decorators make them."""

    @functools.wraps(function)
    def outer(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return outer


class Machine:
    """Things that can be called and things that only look so."""

    def method(self, first: int) -> int:
        """Return something."""
        return first

    @classmethod
    def of_class(cls, first: int) -> int:
        """Return something."""
        return first

    @staticmethod
    def static(first: int) -> int:
        """Return something."""
        return first

    def __call__(self, first: int) -> int:
        """Return something."""
        return first


@functools.cache
def cached(first: int) -> int:
    """A function behind a cache."""
    return first


def test_bound_methods_lambdas_and_cached_functions_are_functions() -> None:
    """Whatever Python itself takes for one with named parameters works."""
    for function in (Machine().method, Machine.of_class, Machine.static, cached, lambda first: first):
        assert names(read(function)) == [("first", True)]


def test_what_a_partial_fills_in_is_not_asked_for() -> None:
    """The natural way to make a family of steps: bound arguments are gone, by place and by name, the others stay."""
    assert names(read(functools.partial(plain, 1, third=[]))) == [("second", False), ("fourth", False)]
    twice = functools.partial(functools.partial(plain, third=[]), fourth=2.0)
    assert names(read(twice)) == [("first", True), ("second", False)]
    assert read(functools.partial(with_io, first=1)).io_parameter == "io"


def test_an_async_function_stays_async_behind_a_decorator_and_a_partial() -> None:
    """Its coroutine is awaited, and it may take Io."""
    for function in (wrapped(with_io), functools.partial(with_io, first=1), functools.partial(wrapped(with_io), first=1)):
        signature = read(function)
        assert signature.is_async
        assert signature.io_parameter == "io"


# --- refusals -------------------------------------------------------------------------------------------------------------


def several(*values: int) -> None:
    """Take any number of values."""
    del values


def by_keyword(**values: int) -> None:
    """Take any names."""
    del values


def by_place(value: int, /) -> None:
    """Take a value without a name."""
    del value


def generator() -> Iterator[int]:
    """Yield."""
    yield 1


async def async_generator() -> AsyncIterator[int]:
    """Yield."""
    yield 1


def sync_io(io: Io) -> None:
    """Take Io where nothing can be awaited."""
    del io


async def two_ios(io: Io, other: Io) -> None:
    """Take Io twice."""
    del io, other


async def hidden_io(io: Reader) -> None:
    """Take Io imported for the type checker only."""
    del io


def hidden(value: Hidden) -> None:
    """Take a type imported for the type checker only."""
    del value


def broken(value: int) -> None:
    """An annotation that is no expression."""
    del value


broken.__annotations__["value"] = "list["


def callback(value: Callable[[int], int]) -> None:
    """Take what no JSON can become."""
    del value


def gives_callback() -> Callable[[int], int]:
    """Return what no JSON can hold."""
    return abs


def never() -> NoReturn:
    """Never return."""
    raise SystemExit


REFUSED = [
    (several, "takes *values: 'int'; every parameter must have a name of its own"),
    (by_keyword, "takes **values: 'int'; every parameter must have a name of its own"),
    (by_place, "takes value: 'int'; every parameter must have a name of its own"),
    (len, "takes obj; every parameter must have a name of its own"),
    (generator, "is a generator; return a list instead of yielding"),
    (async_generator, "is a generator; return a list instead of yielding"),
    (sync_io, "takes Io but is a plain def; make it async def, for every Io call is awaited"),
    (two_ios, "takes Io twice, as io and as other; one is enough"),
    (Machine, "is the class Machine; a step is a function"),
    (Machine(), "is a Machine object; wrap its call in a function"),
    (functools.partial(Machine()), "is a Machine object; wrap its call in a function"),
    (Machine.__dict__["of_class"], "is a classmethod; a step is a function"),
    (dict.fromkeys, "every parameter must have a name of its own"),
    (type.mro, "is a method_descriptor object; wrap its call in a function"),
    (3, "is a int; a step is a function"),
    (hidden_io, "name 'Reader' is not defined; import it at run time, not under TYPE_CHECKING, and define classes at the top"),
    (hidden, "name 'Hidden' is not defined; import it at run time"),
    (broken, "has an annotation that does not resolve: Forward reference must be an expression"),
    (callback, "cannot be given value is annotated collections.abc.Callable[[int], int], which no context value can become"),
    (gives_callback, "returns collections.abc.Callable[[int], int], which cannot be recorded: Callable has no JSON form"),
    (never, "returns typing.NoReturn, which cannot be recorded"),
]


@pytest.mark.parametrize(("function", "reason"), REFUSED)
def test_what_cannot_be_called_by_name_is_refused(function: Any, reason: str) -> None:
    """Each refusal is one sentence that begins with the step."""
    message = refused(lambda: read(function))
    assert message.startswith("step one ")
    assert reason in message


def bounded(value: Annotated[int, msgspec.Meta(gt=0)]) -> Annotated[int, Field(lt=9)]:
    """Take and give numbers within bounds."""
    return value


def test_constraints_in_annotations_hold_both_ways() -> None:
    """Those of msgspec and of pydantic: an ``Annotated`` type is more than the type in it."""
    signature = read(bounded)
    with pytest.raises(SerializationError, match=r"Expected `int` >= 1"):
        signature.parameters[0].converter.load("value", 0)
    with pytest.raises(SerializationError, match="Input should be less than 9"):
        signature.result.dump("one", 9)


def test_a_parameter_with_a_default_may_be_no_business_of_the_context() -> None:
    """A client or clock that tests hand in is left alone, unless the context has a value of that name."""

    def injected(value: int, clock: Callable[[], float] = lambda: 0.0) -> float:
        return value + clock()

    signature = read(injected)
    assert names(signature) == [("value", True), ("clock", False)]
    with pytest.raises(Exception, match=r"clock is annotated .*, which no context value can become: Callable has no JSON form"):
        signature.parameters[1].converter.load("clock", 3)


@pytest.mark.parametrize(
    "name", ["", "A", "Upper", "1st", "_hidden", "two__parts", "größe", "a" * 64, "a b", "a-b", "<lambda>", 3]
)
def test_names_of_steps_are_plain(name: Any) -> None:
    """The rule is named, and how to get around a function's name."""
    rule = "needs a name of 1 to 63 of a-z, 0-9 and single _, starting with a letter; pass name="
    assert refused(lambda: read(plain, name)) == f"step {name} {rule}"


@pytest.mark.parametrize("name", ["a", "a" * 63, "a_b_c9", "trailing_"])
def test_names_at_the_edge_of_the_rule_are_fine(name: str) -> None:
    """The limit is exact."""
    assert read(plain, name).is_async is False


def test_a_lambda_or_partial_needs_a_name_and_works_with_one() -> None:
    """Neither has one of its own."""
    flow = Workflow("flow")
    add: Callable[..., Any] = functools.partial(max, 1)
    assert "pass name=" in refused(lambda: flow.step(lambda: 1))
    assert "pass name=" in refused(lambda: flow.step(add))
    flow.step(name="three")(lambda: 3)
    assert [str(state.id) for state in flow.plan().states] == ["flow.three.main"]
