"""Commands on members: choosing them, asking for confirmation, calling each, and the exit code."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import click

from ctl.cluster import ClusterView
from ctl.context import refuse
from ctl.rest import RestAnswer, RestError
from engine.state import Member


@dataclass(slots=True)
class Outcomes:
    """Prints what each member answered, and remembers who refused."""

    refused: list[str] = field(default_factory=list)

    def success(self, text: str) -> None:
        """Something was done as asked."""
        click.echo(text)

    def failure(self, action: str, member: str, answer: RestAnswer) -> None:
        """A member answered, and refused."""
        click.echo(
            f"Failed: {action} for member {member}, status code={answer.status}, ({answer.text})"
        )
        self.refused.append(member)

    def unreachable(self, action: str, member: str, error: RestError) -> None:
        """A member did not answer."""
        click.echo(f"Failed: {action} for member {member}, no answer: {error}")
        self.refused.append(member)

    def end(self) -> None:
        """Exit with 1 when any member refused, so that scripts notice."""
        if self.refused:
            names = ", ".join(self.refused)
            raise click.ClickException(f"not done on {len(self.refused)} member(s): {names}")


def choose(view: ClusterView, names: Sequence[str], wanted_role: str) -> list[Member]:
    """The members that names and role leave, sorted by name; refuses when there is none."""
    members = view.record.members
    if not members:
        refuse(f"{view.name} cluster doesn't have any members")
    known = {member.name for member in members}
    for name in names:
        if name not in known:
            listed = ", ".join(sorted(known))
            refuse(f"{name} is not a member of cluster {view.name} (members: {listed})")
    chosen = [
        member
        for member in members
        if (not names or member.name in names) and view.has_role(member, wanted_role)
    ]
    if not chosen:
        among = "the provided members" if names else f"the members of {view.name}"
        refuse(f"No {wanted_role} among {among}")
    return chosen


def confirm(action: str, members: Sequence[Member], force: bool) -> None:
    """Ask before members are touched; refuses when the answer is no."""
    names = ", ".join(member.name for member in members)
    if not force and not click.confirm(f"Are you sure you want to {action} members {names}?"):
        refuse(f"Aborting {action}")


def call_each(
    members: Sequence[Member],
    action: str,
    call: Callable[[Member], RestAnswer],
    outcomes: Outcomes,
    success: Callable[[Member, RestAnswer], str],
) -> list[Member]:
    """Call one after the other, print every outcome; the members that agreed."""
    agreed = []
    for member in members:
        try:
            answer = call(member)
        except RestError as error:
            outcomes.unreachable(action, member.name, error)
            continue
        if answer.ok:
            outcomes.success(success(member, answer))
            agreed.append(member)
        else:
            outcomes.failure(action, member.name, answer)
    return agreed
