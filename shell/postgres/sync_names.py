"""See synchronous_standby_names in force after a reload.

Not here: which names, and writing them (`configuration.py`).
"""

from shell.postgres.errors import PostgresError
from shell.postgres.session import Session
from shell.postgres.waiting import NEVER
from shell.processes import now

POLL_SECONDS = 0.02


def wait_until_in_force(session: Session, text: str, deadline: float) -> None:
    """Wait until a session of the server sees this text; PostgresError at the deadline.

    A server that does not take it over within a moment has the setting from elsewhere.
    """
    while (found := _in_force(session, deadline)) != text:
        if now() + POLL_SECONDS >= deadline:
            raise PostgresError(
                f"synchronous_standby_names is '{found}' although '{text}' was written: "
                "something other than postgresql.conf sets it"
            )
        NEVER.wait(POLL_SECONDS)


def _in_force(session: Session, deadline: float) -> str:
    rows = session.execute("SELECT current_setting('synchronous_standby_names')", deadline=deadline)
    return str(rows[0][0])
