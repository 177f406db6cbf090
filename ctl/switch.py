"""`switchover` and `failover`: the questions, the request, and what became of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import click

from ctl import options
from ctl.cluster import ClusterView
from ctl.context import Access, Settings, refuse
from ctl.listing import print_topology
from ctl.progress import Phases, call_while_following, follow_until
from ctl.rest import RestAnswer, RestError
from ctl.times import example_time, parse_schedule, stamp
from engine.state import Member
from shell import layout

# The new leader has the lock before it accepts writes; the last topology should show the latter.
SETTLE_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked for: `leader` hands over (None for a failover) to `candidate` (None: any)."""

    action: str
    leader: str | None
    candidate: str | None
    moment: datetime | None = None

    @property
    def body(self) -> dict[str, str]:
        """The request's JSON."""
        wanted = {
            "leader": self.leader,
            "candidate": self.candidate,
            "scheduled_at": self.moment.isoformat() if self.moment else None,
        }
        return {key: value for key, value in wanted.items() if value}


@dataclass(slots=True)
class Reply:
    """What the REST call in the other thread brought."""

    answer: RestAnswer | None = None
    error: RestError | None = None
    errors: list[str] = field(default_factory=list)


@click.command(
    epilog=options.epilog(
        "hae ctl switchover",
        "hae ctl switchover demo --leader n1 --candidate n2 --force",
        "hae ctl switchover demo --scheduled 2026-09-01T02:00+02:00 --force",
    )
)
@options.cluster
@click.option("--leader", "--primary", "leader", help="The name of the current leader.")
@click.option("--candidate", help="The member that takes over.")
@click.option("--scheduled", metavar="TIME", help="When, in an unambiguous format (ISO 8601).")
@options.force
@options.pass_settings
def switchover(
    settings: Settings,
    *,
    cluster_name: str | None,
    leader: str | None,
    candidate: str | None,
    scheduled: str | None,
    force: bool,
) -> None:
    """Hand the leader's role over to another member, now or later."""
    with settings.access(cluster_name) as access:
        view = access.view
        click.echo("Current cluster topology")
        print_topology(view)
        leader = _ask_leader(view, leader, force)
        candidates = _candidates(view, leader)
        candidate = _ask_candidate(view, candidates, candidate, leader, force)
        if scheduled is None and not force:
            question = f"When should the switchover take place (e.g. {example_time()} ) "
            scheduled = click.prompt(question, type=str, default="now")
        moment = parse_schedule(scheduled)
        if view.paused and moment is not None:
            refuse("Can't schedule switchover in the paused state")
        if view.paused and candidate is None:
            refuse("A candidate is needed while the cluster is paused (--candidate)")
        _confirm("switchover", view, f", demoting current leader {leader}", moment, force)
        _carry_out(access, Plan("switchover", leader, candidate, moment))


@click.command(
    epilog=options.epilog(
        "hae ctl failover demo --candidate n2",
        "hae ctl failover demo --candidate n2 --force",
    )
)
@options.cluster
@click.option("--candidate", help="The member that takes over; required.")
@options.force
@options.pass_settings
def failover(
    settings: Settings, *, cluster_name: str | None, candidate: str | None, force: bool
) -> None:
    """Make a named member the leader, even if the cluster has none or is not healthy."""
    with settings.access(cluster_name) as access:
        view = access.view
        click.echo("Current cluster topology")
        print_topology(view)
        candidates = _candidates(view, view.leader_name)
        if candidate is None and force:
            refuse("Failover could be performed only to a specific candidate")
        candidate = _ask_candidate(view, candidates, candidate, view.leader_name, force)
        if candidate is None:
            refuse("Failover could be performed only to a specific candidate")
        _confirm_not_synchronous(view, candidate, force)
        demoting = f", demoting current leader {view.leader_name}" if view.leader_name else ""
        _confirm("failover", view, demoting, None, force)
        _carry_out(access, Plan("failover", None, candidate))


# --- questions ------------------------------------------------------------------------------------


def _ask_leader(view: ClusterView, given: str | None, force: bool) -> str:
    current = view.leader_name
    if current is None:
        refuse("This cluster has no leader: use `hae ctl failover --candidate`")
    title = "Standby Leader" if view.standby_cluster else "Primary"
    if given is None:
        given = current if force else click.prompt(title, type=str, default=current)
    if given != current:
        refuse(f"Member {given} is not the leader of cluster {view.name} ({current} is)")
    return current


def _candidates(view: ClusterView, leader: str | None) -> list[str]:
    """Everybody who may take over by his tags; the rest is checked by the members themselves."""
    names = [
        member.name for member in view.record.members if member.name != leader and _may_lead(member)
    ]
    if not names:
        refuse("No candidates found to take over: every other member is gone or tagged nofailover")
    return names


def _may_lead(member: Member) -> bool:
    return not member.tags.nofailover and member.tags.failover_priority > 0


def _ask_candidate(
    view: ClusterView,
    candidates: Sequence[str],
    given: str | None,
    leader: str | None,
    force: bool,
) -> str | None:
    if given is None and not force:
        given = click.prompt(f"Candidate {list(candidates)}", type=str, default="")
    if not given:
        return None
    if given == leader:
        refuse("Switchover target and source are the same")
    if given not in candidates:
        refuse(f"Member {given} does not exist in cluster {view.name} or is tagged as nofailover")
    return given


def _confirm_not_synchronous(view: ClusterView, candidate: str, force: bool) -> None:
    """A failover to an asynchronous member may lose acknowledged commits: ask once more."""
    member = view.record.member(candidate)
    sync = view.record.sync
    if view.synchronous_mode == "off" or member is None or force:
        return
    if view.role(member) != "replica" or (sync is not None and sync.leader == candidate):
        return
    if not click.confirm(
        f"Are you sure you want to failover to the asynchronous node {candidate}?"
    ):
        refuse("Aborting failover")


def _confirm(
    action: str, view: ClusterView, demoting: str, moment: datetime | None, force: bool
) -> None:
    if force:
        return
    if moment is None:
        question = f"Are you sure you want to {action} cluster {view.name}{demoting}?"
    else:
        question = (
            f"Are you sure you want to schedule {action} of cluster {view.name} at"
            f" {moment.isoformat()}{demoting}?"
        )
    if not click.confirm(question):
        refuse(f"Aborting {action}")


# --- the request ----------------------------------------------------------------------------------


def _carry_out(access: Access, plan: Plan) -> None:
    """Ask over REST, else by the store; print the result and the topology; exit 1 on failure."""
    limit_seconds = access.view.handover_seconds
    phases = Phases(access.view.leader_name)
    reply = _ask_members(access, plan, phases, limit_seconds)
    if reply.answer is not None and reply.answer.status != 501:
        done, text = reply.answer.ok, reply.answer.text
        if not done:
            text = f"{plan.action.capitalize()} failed, details: {reply.answer.status}, {text}"
    elif reply.error is not None and reply.error.sent:
        click.echo(f"The answer was lost ({reply.error}); looking at the store", err=True)
        done, text = _outcome_in_store(access, plan, phases, limit_seconds)
    else:
        why = str(reply.error) if reply.error is not None else "no member supports the request"
        click.echo(f"No member answered ({why}); writing the request to the store", err=True)
        done, text = _by_store(access, plan, phases, limit_seconds)
    click.echo(f"{stamp()} {text}")
    if done and plan.moment is None:
        follow_until(access, phases, lambda: phases.finished, SETTLE_SECONDS)
    view = access.read()
    print_topology(view)
    if not done:
        refuse(f"{plan.action} was not done")
    if plan.moment is None and plan.candidate not in (None, view.leader_name):
        refuse(f"{plan.candidate} is not the leader, as was asked, but {view.leader_name}")


def _ask_members(access: Access, plan: Plan, phases: Phases, limit_seconds: float) -> Reply:
    """Ask the leader; a failover of a headless cluster asks everybody in turn."""
    leader = access.view.leader
    asked = [leader] if leader is not None else []
    if plan.action == "failover":
        asked += [member for member in access.view.record.members if member is not leader]
    reply = Reply()

    def call() -> None:
        for member in asked:
            try:
                reply.answer = access.rest.call(
                    "POST",
                    member.api_url,
                    plan.action,
                    plan.body,
                    timeout_seconds=limit_seconds + 10.0,
                )
            except RestError as error:
                reply.error = error
                reply.errors.append(f"{member.name}: {error}")
                if not error.sent:
                    continue
            return

    if plan.moment is not None:
        call()
    else:
        call_while_following(access, phases, call, len(asked) * (limit_seconds + 15.0))
    if reply.errors:
        sent = reply.error is not None and reply.error.sent
        reply.error = RestError("; ".join(reply.errors), sent=sent)
    return reply


def _by_store(access: Access, plan: Plan, phases: Phases, limit_seconds: float) -> tuple[bool, str]:
    """Write the `failover` key and follow it."""
    iso = plan.moment.isoformat() if plan.moment else None
    text = layout.failover_text(plan.leader, plan.candidate, iso)
    access.store.put(layout.FAILOVER, text, access.deadline())
    return _outcome_in_store(access, plan, phases, limit_seconds)


def _outcome_in_store(
    access: Access, plan: Plan, phases: Phases, limit_seconds: float
) -> tuple[bool, str]:
    """Wait for what the store shows: a new leader, a cleared request, or nothing in time."""
    title = plan.action.capitalize()
    if plan.moment is not None:
        request = access.read().record.failover
        known = request is not None and request.scheduled_epoch == plan.moment.timestamp()
        return known, f"{title} scheduled" if known else f"{title} status unknown"

    def settled() -> bool:
        view = access.view
        new = view.leader_name not in (None, phases.old_leader)
        given_up = view.record.failover is None and view.leader_name == phases.old_leader
        return new or given_up

    if not follow_until(access, phases, settled, limit_seconds):
        return False, f"{title} status unknown"
    winner = access.view.leader_name
    if winner == phases.old_leader:
        return False, f"{title} failed: the leader has dropped the request (its log says why)"
    verb = "switched over" if plan.action == "switchover" else "failed over"
    if plan.candidate not in (None, winner):
        return True, f'{verb.capitalize()} to "{winner}" instead of "{plan.candidate}"'
    return True, f'Successfully {verb} to "{winner}"'
