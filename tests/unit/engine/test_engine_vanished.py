"""Whose keys have gone from the store, as one view follows another."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from engine import vanished
from engine.state import Cluster, KeysLost, Known, Unknown, Vanished
from tests.support.snapshots import cluster, members

N1, N2, N3 = members()
keys_lost = partial(vanished.keys_lost, unwatched=False)


def of(*names: str) -> Cluster:
    """A view with the keys of these members."""
    return cluster(members=tuple(member for member in members() if member.name in names))


def test_a_member_is_kept_from_its_loss_to_its_return() -> None:
    """Each is known by its last document and by the moment at which its loss was seen."""
    lost = vanished.after((), of("n1", "n2", "n3"), of("n2"), "n2", 5.0)
    assert lost == (Vanished(N1, 5.0), Vanished(N3, 5.0))
    assert vanished.after(lost, of("n2"), of("n2"), "n2", 6.0) == lost
    assert vanished.after(lost, of("n2"), of("n2", "n3"), "n2", 7.0) == lost[:1]


def test_whoever_was_lost_with_us_is_kept_for_good() -> None:
    """A return of some says nothing about the others, nor about what the store has lost."""
    lost = vanished.after((), of("n2", "n3"), of(), "n2", 5.0)
    assert lost == (Vanished(N2, 5.0, with_ours=True), Vanished(N3, 5.0, with_ours=True))
    back = vanished.after(lost, of(), of("n2", "n3"), "n2", 6.0)
    assert back == lost
    again = vanished.after(back, of("n2", "n3"), of("n2"), "n2", 7.0)
    assert again == (lost[0], Vanished(N3, 7.0, with_ours=True))


def test_whoever_was_lost_before_the_cluster_came_back_is_kept_at_the_next_loss() -> None:
    """Its primary may hang: its key was not there again when all keys went once more."""
    lost = (Vanished(N1, 1.0, with_ours=True), Vanished(N2, 1.0, with_ours=True))
    without, back = replace(of("n2", "n3"), initialize=None), of("n2", "n3")
    again = vanished.after(lost, without, of(), "n2", 5.0)
    assert again == tuple(Vanished(member, 5.0, with_ours=True) for member in (N1, N2, N3))
    assert vanished.after(lost, back, of(), "n2", 5.0) == again[1:]


def test_whose_key_had_ended_before_all_went_is_kept_with_them() -> None:
    """A primary whose machine was down has this cluster's data, though no key told so any more."""
    lost = vanished.after((Vanished(N1, 1.0),), of("n2", "n3"), of(), "n2", 5.0)
    assert lost == tuple(Vanished(member, 5.0, with_ours=True) for member in (N1, N2, N3))


def test_a_loss_of_its_own_is_none_together_with_us() -> None:
    """Also of a member that had been lost alone before."""
    known = (Vanished(N3, 1.0),)
    assert vanished.after(known, of("n2", "n3"), of("n2"), "n2", 5.0) == (Vanished(N3, 5.0),)


def test_the_keys_are_lost_until_the_store_holds_a_cluster_or_a_leader() -> None:
    """A loss counts from when it was seen; one that was empty at first lost nothing."""
    empty, founded = Cluster(members=(N2,)), Cluster(initialize="", members=(N2,))
    assert keys_lost(None, None, of("n1", "n2"), "n2", 5.0) is None
    assert keys_lost(None, None, empty, "n2", moment=5.0) == KeysLost(5.0, seen=False)
    lost = keys_lost(None, of("n1", "n2"), Cluster(), "n2", 6.0)
    assert lost == KeysLost(6.0, seen=True)
    assert keys_lost(lost, Cluster(), empty, "n2", 7.0) == lost
    assert keys_lost(lost, empty, founded, "n2", 8.0) == lost
    assert keys_lost(lost, empty, Cluster(leader="n1"), "n2", 9.0) is None
    assert keys_lost(lost, empty, of("n2"), "n2", 9.0) is None


def test_keys_are_lost_again_where_ours_has_gone_once_more() -> None:
    """Whatever was written between the two losses, and not seen, may have made a new leader."""
    found = KeysLost(5.0, seen=False)
    again = keys_lost(found, Cluster(members=(N2,)), Cluster(), "n2", 9.0)
    assert again == KeysLost(9.0, seen=True)


def test_an_empty_initialize_that_has_gone_counts_as_lost_keys() -> None:
    """What was being founded may have been finished, and lost, between two looks."""
    found = KeysLost(5.0, seen=False)
    founding = Cluster(initialize="", members=(N2,))
    again = keys_lost(found, founding, Cluster(members=(N2,)), "n2", 9.0)
    assert again == KeysLost(9.0, seen=True)


def test_what_is_being_founded_is_not_lost_while_it_is_there() -> None:
    """An empty `initialize` that stays tells of nothing new."""
    found = KeysLost(5.0, seen=False)
    founding = Cluster(initialize="", members=(N2,))
    assert keys_lost(found, founding, founding, "n2", 9.0) == found


def test_a_cluster_that_was_led_or_named_is_lost_with_that() -> None:
    """Also where its leader alone was seen before, or an empty identity is left."""
    nothing, empty = Cluster(members=(N2,)), Cluster(initialize="", members=(N2,))
    lost = KeysLost(6.0, seen=True)
    assert keys_lost(None, replace(nothing, leader="n1"), nothing, "n2", 6.0) == lost
    assert keys_lost(None, replace(empty, initialize="74"), empty, "n2", 6.0) == lost


def test_what_was_lost_stays_lost_while_nothing_comes_back() -> None:
    """Our own key may still be there, or never have been; an identity ends the matter."""
    before = of("n1", "n2")
    lost = keys_lost(None, before, Cluster(members=(N2,)), "n2", 6.0)
    assert lost == KeysLost(6.0, seen=True)
    assert keys_lost(lost, Cluster(), Cluster(), "n2", 7.0) == lost
    assert keys_lost(lost, Cluster(), Cluster(initialize="74"), "n2", 8.0) is None


def test_a_time_without_a_look_counts_as_another_loss() -> None:
    """A leader may have come and gone meanwhile, and our own key have been written late."""
    found, nothing, ours = KeysLost(5.0, seen=False), Cluster(), Cluster(members=(N2,))
    again = vanished.keys_lost(found, nothing, ours, "n2", 9.0, unwatched=True)
    assert again == KeysLost(9.0, seen=False)
    assert keys_lost(found, nothing, ours, "n2", 9.0) == found


def test_the_store_is_watched_while_it_answers_loop_by_loop() -> None:
    """A silent store, or a daemon that hung, has missed what happened between two views."""
    assert vanished.was_unwatched(Unknown(4.0, "no answer"), 5.0, 10.0)
    assert not vanished.was_unwatched(Known(Cluster(), 5.0), 25.0, 10.0)
    assert vanished.was_unwatched(Known(Cluster(), 5.0), 25.1, 10.0)
