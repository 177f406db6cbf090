"""Facts about the local PostgreSQL: its directory, its process, its answers, its jobs."""

from engine import views
from engine.rule import fact
from engine.state import DirectoryKind, JobKind, Known, Snapshot, Unknown

_WITHOUT_CLIENTS = {
    JobKind.INITDB,
    JobKind.CLONE,
    JobKind.REWIND,
    JobKind.CRASH_RECOVERY,
    JobKind.REMOVE,
}


def _server(s: Snapshot) -> str:
    if isinstance(s.postgres.server, Unknown):
        if s.postgres.outdated:
            return f"PostgreSQL was not looked at {'since the last job' if s.last_job else 'yet'}"
        if s.postgres.postmaster is None:
            return "PostgreSQL is down"
        return f"no answer for {s.now - s.postgres.server.since:.1f}s: {s.postgres.server.why}"
    role = "standby" if s.postgres.server.value.in_recovery else "primary"
    return f"runs as {role} on timeline {s.postgres.server.value.timeline}"


def _directory(s: Snapshot) -> str:
    directory = s.postgres.directory
    state = f", {directory.control.state}" if directory.control else ""
    problem = f": {directory.problem}" if directory.problem else ""
    return f"data directory {directory.kind.value}{state}{problem}"


def _job(s: Snapshot) -> str:
    return f"{s.job.kind.value} for {s.now - s.job.since:.1f}s" if s.job else "no job"


@fact(_server)
def postmaster_runs(s: Snapshot) -> bool:
    """A postmaster process of our data directory exists; an outdated look counts as yes."""
    return s.postgres.postmaster is not None or s.postgres.outdated


@fact(_server)
def look_is_outdated(s: Snapshot) -> bool:
    """PostgreSQL was looked at before the last job ended, or not at all yet."""
    return s.postgres.outdated


@fact(_server)
def never_looked_at(s: Snapshot) -> bool:
    """This daemon has not seen its PostgreSQL yet."""
    return s.postgres.outdated and s.last_job is None


def _was_made_primary(s: Snapshot) -> bool:
    """The last job promoted, or its start began with a lease that has not ended since."""
    last, ends = s.last_job, views.lease_ends(s)
    if last is None:
        return False
    return last.kind is JobKind.PROMOTE or (ends is not None and ends > last.finished)


@fact(lambda s: f"{_server(s)}, {_founded(s)}")
def begins_as_primary(s: Snapshot) -> bool:
    """The new cluster's first server becomes writable by itself, if need be after a recovery."""
    if s.memory.bootstrap_copied or s.policy.standby_cluster is not None:
        return False
    return s.memory.bootstrapping and not s.postgres.directory.standby_signal


@fact(_server)
def may_accept_writes(s: Snapshot) -> bool:
    """PostgreSQL may be writable.

    No answer counts as yes, unless standby.signal is there: PostgreSQL removes it before the
    first write.  A promotion counts from its first moment, also one that the daemon before this
    one began, and until a look that began after it says otherwise.  So does the recovery of a
    backup that a cluster is founded with.  A server that initdb, crash recovery or pg_rewind run
    has no clients.
    """
    if s.postgres.outdated and s.job is None and _was_made_primary(s):
        return True
    if s.postgres.postmaster is None:
        return False
    if s.job is not None and s.job.kind in _WITHOUT_CLIENTS:
        return False
    if s.job is not None and s.job.kind is JobKind.PROMOTE:
        return True
    here = views.server(s)
    if s.memory.promoting or begins_as_primary.holds(s):
        return True
    if here is not None:
        return not here.in_recovery
    return not s.postgres.directory.standby_signal


@fact(_server)
def has_to_be_guarded(s: Snapshot) -> bool:
    """PostgreSQL may be writable, or may have been left so by the daemon before this one."""
    return may_accept_writes.holds(s) or never_looked_at.holds(s)


@fact(_server)
def runs_as_primary(s: Snapshot) -> bool:
    """PostgreSQL answered that it is not in recovery; no answer counts as no."""
    here = views.server(s)
    return here is not None and s.postgres.postmaster is not None and not here.in_recovery


@fact(_server)
def runs_as_standby(s: Snapshot) -> bool:
    """PostgreSQL answered that it is in recovery; no answer counts as no."""
    here = views.server(s)
    return here is not None and s.postgres.postmaster is not None and here.in_recovery


def _receiver(s: Snapshot) -> str:
    here = views.server(s)
    return f"replication_state={here.replication_state if here else None}"


@fact(_receiver)
def receives_wal(s: Snapshot) -> bool:
    """PostgreSQL is a standby that streams; no answer counts as no."""
    here = views.server(s)
    return here is not None and here.in_recovery and here.replication_state == "streaming"


@fact(_server)
def server_is_silent(s: Snapshot) -> bool:
    """A postmaster exists, or may exist, but gives no answer; that of one that is gone is none."""
    answers = views.server(s) is not None and s.postgres.postmaster is not None
    return postmaster_runs.holds(s) and not answers


@fact(lambda s: f"{_server(s)}, loop_wait={s.policy.loop_wait_seconds:g}s")
def silent_for_a_loop(s: Snapshot) -> bool:
    """PostgreSQL has given no answer for `loop_wait`, and does not say that it starts."""
    seen = s.postgres.server
    if s.postgres.outdated or s.postgres.starting or isinstance(seen, Known):
        return False
    return s.now - seen.since >= s.policy.loop_wait_seconds


@fact(_server)
def still_starting(s: Snapshot) -> bool:
    """The postmaster says that it is starting up."""
    return s.postgres.starting


@fact(lambda s: f"{_server(s)}, {s.policy.primary_start_timeout_seconds:g}s allowed")
def starting_too_long(s: Snapshot) -> bool:
    """PostgreSQL starts up and has given no answer for primary_start_timeout (0: at once)."""
    answers, down = s.postgres.server, s.memory.primary_down_since
    if s.postgres.outdated or not s.postgres.starting or isinstance(answers, Known):
        return False
    since = answers.since if down is None else min(down, answers.since)
    return s.now - since >= s.policy.primary_start_timeout_seconds


@fact(lambda s: f"{_server(s)}, {s.policy.retry_timeout_seconds:g}s allowed")
def frozen_too_long(s: Snapshot) -> bool:
    """The postmaster is stopped by a signal, and has not answered for retry_timeout."""
    postmaster, answers = s.postgres.postmaster, s.postgres.server
    if s.postgres.outdated or postmaster is None or not postmaster.frozen:
        return False
    if isinstance(answers, Known):
        return False
    return s.now - answers.since >= s.policy.retry_timeout_seconds


@fact(_directory)
def directory_is_empty(s: Snapshot) -> bool:
    """The data directory is absent or empty."""
    return s.postgres.directory.kind is DirectoryKind.EMPTY


@fact(_directory)
def directory_is_valid(s: Snapshot) -> bool:
    """The data directory belongs to a PostgreSQL that we can run."""
    return s.postgres.directory.kind is DirectoryKind.VALID


@fact(_directory)
def directory_is_standbys(s: Snapshot) -> bool:
    """standby.signal is there: whatever starts here starts in recovery."""
    return s.postgres.directory.standby_signal


@fact(_directory)
def directory_was_standby(s: Snapshot) -> bool:
    """The server that ran here last was a standby."""
    directory = s.postgres.directory
    if directory.standby_signal:
        return True
    control = directory.control  # "in crash recovery" is how a primary comes back
    return control is not None and control.state in {"in archive recovery", "shut down in recovery"}


@fact(_directory)
def shut_down_cleanly(s: Snapshot) -> bool:
    """The control file tells of a clean shutdown."""
    control = s.postgres.directory.control
    return control is not None and control.state in {"shut down", "shut down in recovery"}


@fact(_directory)
def crashed_as_primary(s: Snapshot) -> bool:
    """The server that ran here last was writable and did not shut down; unknown counts as no."""
    directory = s.postgres.directory
    if directory.control is None or directory.standby_signal:
        return False
    return directory.control.state in {"in production", "in crash recovery", "shutting down"}


def _system(s: Snapshot) -> str:
    view, ours = views.cluster(s), views.system_identifier(s)
    return f"cluster={view.initialize if view else 'unknown'}, ours={ours or 'unknown'}"


@fact(_system)
def identity_differs(s: Snapshot) -> bool:
    """Our system identifier is not what `initialize` holds; anything unknown counts as no."""
    view, ours = views.cluster(s), views.system_identifier(s)
    return bool(view and view.initialize and ours and view.initialize != ours)


@fact(_system)
def identity_is_unreadable(s: Snapshot) -> bool:
    """`initialize` holds a text that is no system identifier; unknown counts as no."""
    view = views.cluster(s)
    return view is not None and bool(view.initialize) and not (view.initialize or "").isdecimal()


def _founded(s: Snapshot) -> str:
    memory = s.memory
    return f"bootstrapping={memory.bootstrapping}, beaten with {memory.beaten or 'nothing'}"


@fact(lambda s: f"{_founded(s)}, {_system(s)}")
def was_only_founded(s: Snapshot) -> bool:
    """Our own bootstrap made this data, and we have not led with it.

    A promotion that was begun since counts as having led.
    """
    ours, memory = views.system_identifier(s), s.memory
    led = memory.promotions_begun or memory.promoting
    return memory.bootstrapping or (bool(ours) and memory.beaten == ours and not led)


@fact(_system)
def initialize_is_missing(s: Snapshot) -> bool:
    """The store is known and has no `initialize` key."""
    view = views.cluster(s)
    return view is not None and view.initialize is None


@fact(_system)
def initialize_is_empty(s: Snapshot) -> bool:
    """A member is bootstrapping the cluster: `initialize` is there, without a value."""
    view = views.cluster(s)
    return view is not None and view.initialize == ""


@fact(_system)
def initialize_is_set(s: Snapshot) -> bool:
    """The cluster has an identity: `initialize` holds a system identifier."""
    view = views.cluster(s)
    return view is not None and bool(view.initialize)


def _founder(s: Snapshot) -> str:
    view = views.cluster(s)
    return f"founder={view.founder if view else 'unknown'}, {_system(s)}"


@fact(_founder)
def a_founder_is_named(s: Snapshot) -> bool:
    """A member has claimed the right to create `initialize`."""
    view = views.cluster(s)
    return view is not None and view.founder is not None


@fact(_founder)
def founder_is_here(s: Snapshot) -> bool:
    """The founder is we, or has a member key; an unknown store counts as yes."""
    view = views.cluster(s)
    if view is None or view.founder in {None, s.me.name}:
        return True
    return view.member(view.founder) is not None


@fact(_founder)
def we_are_seen(s: Snapshot) -> bool:
    """This daemon has written its member key, and the store shows it."""
    view = views.cluster(s)
    return s.published_at is not None and view is not None and view.member(s.me.name) is not None


@fact(_founder)
def we_are_the_founder(s: Snapshot) -> bool:
    """We have claimed the right to create `initialize`."""
    view = views.cluster(s)
    return view is not None and view.founder == s.me.name


@fact(_founder)
def the_founding_is_ours(s: Snapshot) -> bool:
    """No other member has claimed the right to create `initialize`; an unknown store: no."""
    view = views.cluster(s)
    return view is not None and view.founder in {None, s.me.name}


@fact(_system)
def leader_is_unnamed(s: Snapshot) -> bool:
    """Another member leads, and `initialize` is empty; unknown counts as no.

    It founds a cluster, or has the older data and writes its identity in a moment.
    """
    return initialize_is_empty.holds(s) and views.leader_name(s) not in {None, s.me.name}


# --- jobs -----------------------------------------------------------------------------------------


@fact(_job)
def a_job_runs(s: Snapshot) -> bool:
    """Long work on PostgreSQL is under way."""
    return s.job is not None


@fact(_job)
def stopping_at_once(s: Snapshot) -> bool:
    """An immediate stop is under way."""
    return s.job is not None and s.job.kind is JobKind.STOP and s.job.detail == "immediate"


@fact(_job)
def stop_runs(s: Snapshot) -> bool:
    """A stop is under way."""
    return s.job is not None and s.job.kind is JobKind.STOP


@fact(_job)
def start_runs(s: Snapshot) -> bool:
    """A start is under way."""
    return s.job is not None and s.job.kind is JobKind.START


@fact(_job)
def filling_the_directory(s: Snapshot) -> bool:
    """initdb, a clone, a rewind or a removal is under way: nothing that a stop could end."""
    return s.job is not None and s.job.kind in _WITHOUT_CLIENTS


def _last(s: Snapshot) -> str:
    last = s.last_job
    if last is None:
        return "no job has ended"
    return f"{last.kind.value} ended {'well' if last.ok else 'badly: ' + last.why}"


@fact(_last)
def a_job_failed(s: Snapshot) -> bool:
    """The last job failed, and that has not been taken note of."""
    last = s.last_job
    return last is not None and not last.ok and last.finished > s.memory.job_seen


@fact(_last)
def a_job_ended_well(s: Snapshot) -> bool:
    """The last job ended well, and that has not been taken note of."""
    last = s.last_job
    return last is not None and last.ok and last.finished > s.memory.job_seen


@fact(_last)
def rewind_failed_now(s: Snapshot) -> bool:
    """The last job was a rewind that failed."""
    return s.last_job is not None and s.last_job.kind is JobKind.REWIND and not s.last_job.ok


@fact(_last)
def promotion_failed_now(s: Snapshot) -> bool:
    """The last job was a promotion that failed."""
    return s.last_job is not None and s.last_job.kind is JobKind.PROMOTE and not s.last_job.ok


@fact(lambda s: f"bootstrap failed: {s.memory.bootstrap_failed or 'no'}")
def bootstrap_step_failed(s: Snapshot) -> bool:
    """A step of our bootstrap failed."""
    return bool(s.memory.bootstrap_failed)


@fact(lambda s: f"{max(0.0, s.memory.retry_at - s.now):.1f}s until the next try")
def waits_to_retry(s: Snapshot) -> bool:
    """A job failed a moment ago; the next try waits."""
    return s.now < s.memory.retry_at
