"""What is kept of ended sessions for a while: bounded in number and in bytes of log."""

from collections import OrderedDict
from typing import Final, NamedTuple

from offhook.ids import SessionId
from offhook.server.sessions import Session

MAX_RECORDS: Final = 500
MAX_LOG_BYTES: Final = 8 * 1024 * 1024


class Record(NamedTuple):
    """An ended session and the last that its process printed."""

    session: Session
    log: bytes


class Records:
    """The ended sessions, newest last; the oldest give way."""

    def __init__(
        self, *, max_records: int = MAX_RECORDS, max_log_bytes: int = MAX_LOG_BYTES
    ) -> None:
        self._max_records, self._max_log_bytes = max_records, max_log_bytes
        self._records: OrderedDict[SessionId, Record] = OrderedDict()
        self._by_connection: dict[str, SessionId] = {}
        self._log_bytes = 0

    def __len__(self) -> int:
        return len(self._records)

    @property
    def size_bytes(self) -> int:
        """What the logs hold."""
        return self._log_bytes

    def add(self, session: Session, log: str) -> None:
        """Keep an ended session."""
        record = Record(session, log.encode(errors="replace"))
        self._records[session.id] = record
        self._log_bytes += len(record.log)
        for connection_id in session.connection_ids:
            self._by_connection[connection_id] = session.id
        while len(self._records) > self._max_records or self._log_bytes > self._max_log_bytes:
            self._drop_oldest()

    def get(self, session_id: SessionId) -> Record | None:
        """Find an ended session."""
        return self._records.get(session_id)

    def get_by_connection(self, connection_id: str) -> Record | None:
        """Find the ended session that a `pc_id` belonged to."""
        session_id = self._by_connection.get(connection_id)
        return None if session_id is None else self._records.get(session_id)

    def newest(self, count: int) -> list[Session]:
        """Return the last `count` ended sessions, newest first."""
        newest_first = reversed(self._records.values())
        return [record.session for record, _ in zip(newest_first, range(count), strict=False)]

    def _drop_oldest(self) -> None:
        _, record = self._records.popitem(last=False)
        self._log_bytes -= len(record.log)
        for connection_id in record.session.connection_ids:
            self._by_connection.pop(connection_id, None)
