"""What PostgreSQL control raises: one sentence for the operator, never a secret.

Not here: causes as types; callers only ask whether an operation failed or was cancelled.
"""


class PostgresError(Exception):
    """An operation on PostgreSQL failed; the text names the place and, where known, the mend."""


class Cancelled(PostgresError):  # noqa: N818 - nothing went wrong
    """The operation was given up because its `cancel` event was set."""
