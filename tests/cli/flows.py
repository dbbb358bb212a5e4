"""Workflow files the tests hand to the command line."""

from __future__ import annotations

# Completes: facts, a domain event, prints, two waves and an effect.
NOTES = """
from typing import TypedDict
from durum import Io, Workflow

class Inputs(TypedDict):
    words: int

notes = Workflow("notes", version="2", inputs=Inputs, exec=["echo"])

@notes.step(tags=["fetch"])
async def said(words: int, io: Io) -> str:
    result = await io.exec(["echo", "hello"])
    io.emit("heard", {"text": result.stdout})
    io.progress("listening")
    print("said prints this")
    return result.stdout.strip() * words

@notes.step
def length(said: str) -> int:
    return len(said)

@notes.step(effects="apply_side_effect")
async def publish(length: int, io: Io) -> str:
    await io.write_file("out.txt", str(length))
    return "out.txt"
"""

# Fails for good after a retry; one step is skipped.
FLAKY = """
from datetime import timedelta
from durum import Retry, StepError, Workflow

flaky = Workflow("flaky")

@flaky.step(retry=Retry(attempts=2, delay=timedelta(milliseconds=1), jitter=0))
def fetch() -> int:
    raise StepError("the upstream is \\x1b[31mbusy\\nnow", code="busy", retryable=True)

@flaky.step
def count(fetch: int) -> int:
    return fetch
"""

# Waits until a file named "go" lies in the working directory; fails if it holds anything.
SLOW = """
import asyncio
from pathlib import Path
from durum import Workflow

slow = Workflow("slow")

@slow.step
def first() -> int:
    return 1

@slow.step
async def second(first: int) -> int:
    while not Path("go").exists():
        await asyncio.sleep(0.02)
    if Path("go").read_text():
        raise ValueError("it was told to")
    return first + 1
"""

# Dies in its effect the first time, after it happened.
MAIL = """
from durum import Io, Workflow

mail = Workflow("mail", exec=["sh"])

@mail.step(effects="apply_side_effect")
async def send(io: Io) -> None:
    await io.exec(["sh", "-c", "echo mail >> outbox; test -e sent || { touch sent; kill -9 $PPID; }"], read=False)
"""

# Is the effect itself, and dies in it.
PAY = """
import os, signal
from durum import Workflow

pay = Workflow("pay")

@pay.step(effects="apply_side_effect")
def paid() -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return 1
"""

# A child run that dies in its effect the first time, after it happened.
FAMILY = """
from typing import TypedDict
from durum import Io, Workflow

class KidIn(TypedDict):
    text: str

kid = Workflow("kid", inputs=KidIn, exec=["sh"])

@kid.step(effects="apply_side_effect")
async def send(text: str, io: Io) -> str:
    await io.exec(["sh", "-c", "echo mail >> outbox; test -e sent || { touch sent; kill -9 $PPID; }"], read=False)
    return text

top = Workflow("top")

@top.step(child=kid, result="send")
def mail() -> KidIn:
    return {"text": "hello"}

@top.step
def done(mail: str) -> str:
    return mail + "!"
"""

# Many items; two of them fail if a file named "fail" lies in the working directory.
MANY = """
from pathlib import Path
from durum import Workflow

many = Workflow("many")

@many.step
def numbers() -> list[int]:
    return list(range(60))

@many.step(each="numbers", writes="squares")
def square(item: int) -> int:
    if item in (7, 8) and Path("fail").exists():
        raise ValueError("no")
    return item * item

@many.step
def total(squares: list[int]) -> int:
    return sum(squares)
"""

# Holds the only thread there is, so that nobody can cancel it.
BLOCKING = """
import time
from durum import Workflow

blocking = Workflow("blocking")

@blocking.step
def hold() -> int:
    print("holding", flush=True)
    time.sleep(60)
    return 1
"""
