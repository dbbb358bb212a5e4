"""What every store must do, as tests to run over your own.

    class TestMyStore(StoreConformance):
        @asynccontextmanager
        async def handles(self):
            first, second = MyStore(url), MyStore(url)
            yield first, second
            await first.close()
            await second.close()

pytest collects such a class; anything else can call its ``test_*`` methods one by one.
"""

from durum.testing.conformance.artifacts import ArtifactContract
from durum.testing.conformance.contract import Contract
from durum.testing.conformance.due import DueContract
from durum.testing.conformance.inbox import InboxContract
from durum.testing.conformance.logs import LogContract
from durum.testing.conformance.ownership import OwnershipContract
from durum.testing.conformance.streams import StreamContract

__all__ = [
    "ArtifactContract",
    "Contract",
    "DueContract",
    "InboxContract",
    "LogContract",
    "OwnershipContract",
    "StoreConformance",
    "StreamContract",
]


class StoreConformance(OwnershipContract, DueContract, LogContract, InboxContract, ArtifactContract, StreamContract):
    """The whole contract of ``EventStore`` and ``ArtifactStore``."""
