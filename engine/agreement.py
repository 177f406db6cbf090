"""Failsafe mode: readings about a primary that goes on without the store, by its members' word.

Belongs here: whom to ask, how long an agreement counts, when it is time to ask.  What follows from
it for the lease is `views.certain_until`; the argument is in docs/safety.md.
"""

from collections.abc import Mapping

from engine import views
from engine.state import Snapshot

# A slow disk or network may need that long for a renewal; asked for each of them, the members would
# always keep a promise, and a hand-over would wait for its end for ever.
ORDINARY_RENEWAL_SECONDS = 0.5


def wanted_key(s: Snapshot) -> Mapping[str, str]:
    """What the `failsafe` key should hold: every member that can be asked, with its api_url."""
    members = {m.name: m.api_url for m in (*views.other_members(s), s.me) if m.api_url}
    return {name: members[name] for name in sorted(members)}


def key_may_change(s: Snapshot) -> bool:
    """Whether a write from before our lease may still replace, or delete, the `failsafe` key.

    It does so at the revision that it saw, so it cannot once the key was written in our time.
    """
    view = views.cluster(s)
    if view is None or s.memory.failsafe_members:  # it was certain before
        return False
    return s.memory.failsafe_sent_over in {-1, view.failsafe_revision}


def electorate(s: Snapshot) -> Mapping[str, str]:
    """Who could race, were the store silent from now on.

    Those that the key names, those that it should name, and those that a write of ours names of
    which we do not know whether it was done.  Empty if we are not named ourselves, or if the key
    may be changed behind our back.
    """
    view = views.cluster(s)
    if view is None or view.failsafe is None or s.me.name not in view.failsafe or key_may_change(s):
        return {}
    unsettled = s.memory.failsafe_sent_over == view.failsafe_revision
    all_of_them = {
        **(s.memory.failsafe_sent if unsettled else {}),
        **wanted_key(s),
        **view.failsafe,
    }
    return {name: all_of_them[name] for name in sorted(all_of_them)}


def others(s: Snapshot) -> Mapping[str, str]:
    """The members that must agree, without us."""
    return {n: url for n, url in s.memory.failsafe_members.items() if n != s.me.name}


def proof_overdue_at(s: Snapshot) -> float | None:
    """When it is time to ask the members: a renewal was due, and is not confirmed."""
    ends = views.lease_ends(s)
    if ends is None:
        return None
    patience = max(ORDINARY_RENEWAL_SECONDS, 0.2 * views.stop_margin_seconds(s))
    return ends - s.lease.ttl_seconds + views.renew_every_seconds(s) + patience


def promise_seconds(s: Snapshot) -> float:
    """How long we count on a member's word: no longer than the lease that it prolongs."""
    return min(s.policy.ttl_seconds, s.lease.ttl_seconds)


def agreed_until(s: Snapshot) -> float | None:
    """Until when every member that must agree has agreed; None if one has not."""
    answers = {a.name: a for a in s.failsafe_answers if a.agreed}
    needed = others(s)
    if not s.memory.failsafe_members or not needed.keys() <= answers.keys():
        return None
    promises = [answers[name].asked_at + answers[name].ttl_seconds for name in needed]
    return min(promises, default=s.now + promise_seconds(s))


def to_ask(s: Snapshot) -> Mapping[str, str]:
    """The members whose agreement is missing or old, and who were not asked a moment ago."""
    asked = {a.name: a for a in s.failsafe_answers}
    fresh = s.now - views.renew_every_seconds(s) / 2
    out = {}
    for name, url in others(s).items():
        last = asked.get(name)
        good_from = fresh if last and last.agreed else s.now - views.ASK_AGAIN_SECONDS
        if last is None or last.asked_at < good_from:
            out[name] = url
    return out


def prolonged_until(s: Snapshot) -> float:
    """Until when the members' word prolongs our lease; 0 if it does not."""
    sent = s.lease.sent_at
    prolonged = sent is not None and s.memory.failsafe_lease == sent and not s.lease.refused
    return s.memory.failsafe_until if prolonged else 0.0


def active_until(s: Snapshot) -> float:
    """Until when the members' word replaces the store here, ours or theirs; 0 if it does not.

    A primary goes on by it until the fast stop begins, which is before the word ends.
    """
    prolonged = prolonged_until(s)
    ours = prolonged - 2 * views.stop_margin_seconds(s) if prolonged else 0.0
    return max(ours, s.memory.consented_until)


def promised_until(s: Snapshot) -> float:
    """Until when members that let us go on without the store may still keep from leading."""
    promises = [a.asked_at + a.ttl_seconds for a in s.failsafe_answers if a.agreed]
    return max([*promises, s.memory.failsafe_until])
