"""The effective tags of this node, and which of them are published.

What a tag makes the cluster do is decided in the engine.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shell.config.settings import Tags

_FLAGS = ("nofailover", "noloadbalance", "clonefrom", "nosync", "nostream")
_PRIORITIES = ("failover_priority", "sync_priority")


def effective_tags(tags: Mapping[str, Any]) -> tuple[Tags, list[str]]:
    """Return the tags from the normalised `tags` section, and a warning per contradiction."""
    texts: list[str] = []
    nofailover, failover_priority = _pair(tags, "nofailover", "failover_priority", texts)
    nosync, sync_priority = _pair(tags, "nosync", "sync_priority", texts)
    flags = {name: bool(tags.get(name)) for name in _FLAGS}
    flags.update(nofailover=nofailover, nosync=nosync)
    published: dict[str, Any] = {name: True for name, value in flags.items() if value}
    if "failover_priority" in tags:
        published["failover_priority"] = failover_priority
    if "sync_priority" in tags:
        published["sync_priority"] = sync_priority
    # A false standard tag says nothing; the user's own ones are shown as they are.
    published.update({k: v for k, v in tags.items() if k not in (*_FLAGS, *_PRIORITIES)})
    return (
        Tags(
            nofailover=nofailover,
            failover_priority=failover_priority,
            noloadbalance=flags["noloadbalance"],
            clonefrom=flags["clonefrom"],
            replicatefrom=tags.get("replicatefrom"),
            nosync=nosync,
            sync_priority=sync_priority,
            nostream=flags["nostream"],
            published=published,
        ),
        texts,
    )


def _pair(tags: Mapping[str, Any], flag: str, priority: str, texts: list[str]) -> tuple[bool, int]:
    """Return (barred, priority): the flag wins over the priority; a barred node has priority 0."""
    barred, value = tags.get(flag), tags.get(priority)
    if barred is not None and value is not None and barred != (value <= 0):
        spelled = "true" if barred else "false"
        texts.append(f"tags: {flag}: {spelled} contradicts {priority}: {value}; {flag} wins")
    if barred is None:
        barred = value is not None and value <= 0
    if barred:
        return True, 0
    return False, value if value is not None and value > 0 else 1
