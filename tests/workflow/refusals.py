"""What a wrong definition is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from durum.errors import WorkflowDefinitionError

if TYPE_CHECKING:
    from collections.abc import Callable


def refused(define: Callable[[], object]) -> str:
    """Return the one sentence a wrong definition is refused with, without the workflow's name."""
    with pytest.raises(WorkflowDefinitionError) as caught:
        define()
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"workflow {caught.value.workflow}: ")
    return caught.value.reason
