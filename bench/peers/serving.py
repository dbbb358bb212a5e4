"""How a peer's script is asked for rounds: a folder a line on stdin, what the round there took a line on stdout."""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

TEXT = "What a run needs to go on stands in its log. " * 22  # as bench.plans has it
VALUE: dict[str, object] = {"count": 0, "text": TEXT}


def serve(ready: Callable[[Path], AbstractContextManager[Callable[[], object]]]) -> None:
    """Answer each folder with the seconds its round took; ``ready`` prepares one there, outside the time that is taken."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a library prints is no answer
    for line in sys.stdin:
        with ready(Path(line.strip())) as work:
            gc.collect()
            clock, processor = time.perf_counter(), time.process_time()
            work()
            took = (time.perf_counter() - clock, time.process_time() - processor)
        print(json.dumps(took), file=answers, flush=True)
