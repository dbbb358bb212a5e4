"""The world's fault: the machine or a store; trying again may help."""

from __future__ import annotations

from durum.errors.roots import WorldError


class OutOfFilesError(WorldError):
    """This process, or the whole system, may open no more files, so nothing can be driven on here for now."""

    code = "out_of_files"

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"this process can open no more files ({reason}); raise its limit (ulimit -n) or run less at once")


class StorageError(WorldError):
    """A store failed."""

    code = "storage_error"


class ConcurrencyError(StorageError):
    """An append was refused: the head moved or the epoch is stale."""

    code = "event_store_concurrency"
    retryable = False

    def __init__(self, run_id: str, expected_seq: int, actual_seq: int, epoch: int, actual_epoch: int) -> None:
        self.run_id = run_id
        self.expected_seq = expected_seq
        self.actual_seq = actual_seq
        self.epoch = epoch
        self.actual_epoch = actual_epoch
        super().__init__(
            f"run {run_id} moved on: expected head {expected_seq} in epoch {epoch}, found {actual_seq} in {actual_epoch}; "
            "another worker took it over"
        )


class CorruptionError(StorageError):
    """Stored data does not match its hash or its shape."""

    code = "corruption"
    retryable = False

    def __init__(self, what: str, reason: str) -> None:
        self.what = what
        self.reason = reason
        super().__init__(f"{what} is damaged: {reason}; see what else is with: durum verify RUN")


class StoreUnavailableError(StorageError):
    """The store cannot be opened, read or written now; whether a last write landed is checked before going on."""

    code = "store_unavailable"

    def __init__(self, store: str, reason: str) -> None:
        self.store = store
        self.reason = reason
        super().__init__(f"store {store}: {reason}")
