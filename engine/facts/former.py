"""Facts about a standby that is cut off from the store, and the server that it followed before."""

from engine import former, views
from engine.facts.lease import store_answers
from engine.rule import fact
from engine.state import Snapshot, Unknown


def _configured(s: Snapshot) -> str:
    followed = s.memory.former_upstream or "nobody"
    return f"configured {s.postgres.configured_upstream}, followed {followed} before"


@fact(_configured)
def follows_a_server(s: Snapshot) -> bool:
    """The standby is configured for some server, whoever that is."""
    return s.postgres.configured_upstream is not None


@fact(_configured)
def former_upstream_is_known(s: Snapshot) -> bool:
    """It is known whom we followed when the store fell silent, and we may stream."""
    return former.upstream(s) is not None


@fact(_configured)
def former_upstream_is_over(s: Snapshot) -> bool:
    """The store answers, and our PostgreSQL is a primary, or follows somebody, again."""
    here = views.server(s)
    settled = follows_a_server.holds(s) or (here is not None and not here.in_recovery)
    return bool(s.memory.former_upstream) and settled and store_answers.holds(s)


def _objection(s: Snapshot) -> str:
    return f"{former.address(s) or 'nobody'}: {former.objection(s) or 'has our WAL'}"


@fact(_objection)
def former_upstream_has_our_wal(s: Snapshot) -> bool:
    """Whom we followed was asked a moment ago, and our WAL is a part of its; unknown: no."""
    return not former.objection(s)


@fact(_objection)
def former_upstream_was_asked(s: Snapshot) -> bool:
    """Whom we followed was asked within the last second, and answered."""
    told = former.told(s)
    return told is not None and s.now - told.asked_at < views.ASK_AGAIN_SECONDS


def _blind_since(s: Snapshot) -> float | None:
    store, here = s.cluster, s.postgres.server
    if not isinstance(store, Unknown) or not isinstance(here, Unknown):
        return None
    return max(store.since, here.since)


@fact(lambda s: f"neither the store nor PostgreSQL answers since {_blind_since(s)}")
def blind_for_long(s: Snapshot) -> bool:
    """For so long neither the store nor PostgreSQL has answered that our upstream would have."""
    since = _blind_since(s)
    return since is not None and s.now - since >= former.ANSWER_SECONDS
