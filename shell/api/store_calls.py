"""Calls about the cluster: members, history and the dynamic configuration, from the store.

Here belong the reads and the two writes of the configuration.  Every store call runs in the pool
with a deadline.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shell import layout
from shell.api.documents import cluster_document
from shell.api.facts import standby_cluster_configured
from shell.api.messages import Call, Response, answer, json_answer
from shell.api.office import Office, store_deadline, unavailable
from shell.config.dynamic import check_dynamic, clamp_timing, merge_patch
from shell.config.problems import Problem
from shell.stores.base import StoreError, View

ADJUSTED = b"x-hae-adjusted"
_MOST_HEADER_BYTES = 2000


class StoreCalls:
    """Handlers of one listener."""

    def __init__(self, office: Office) -> None:
        self._office = office

    async def cluster(self, _call: Call) -> Response:
        """Answer `GET /cluster`."""
        try:
            view = await self._view()
        except (StoreError, OSError) as error:
            return unavailable(error)
        dynamic, _revision = layout.dynamic_config(view.entries)
        paused = layout.boolean((dynamic or {}).get("pause")) is True
        standby = standby_cluster_configured(dynamic)
        scope = self._office.options.scope
        return json_answer(
            cluster_document(view.entries, scope, standby_cluster=standby, paused=paused)
        )

    async def history(self, _call: Call) -> Response:
        """Answer `GET /history`."""
        try:
            view = await self._view()
        except (StoreError, OSError) as error:
            return unavailable(error)
        return json_answer(layout.history_rows(view.entries))

    async def config(self, _call: Call) -> Response:
        """Answer `GET /config`."""
        try:
            view = await self._view()
        except (StoreError, OSError) as error:
            return unavailable(error)
        dynamic, _revision = layout.dynamic_config(view.entries)
        if dynamic is None:
            return answer(502, "the key config is missing in the store, or holds no JSON object")
        return json_answer(dynamic)

    async def patch_config(self, call: Call) -> Response:
        """Answer `PATCH /config`: merged, and written only over what it was merged with."""
        assert call.body is not None
        try:
            view = await self._office.in_pool(self._office.store.read, store_deadline())
            current, revision = layout.dynamic_config(view.entries)
            if current is None:
                return answer(503, "the key config is missing in the store")
            wanted = merge_patch(current, call.body)
            if refused := _refused(current, wanted):
                return _unprocessable(refused)
            if wanted != current and not await self._replace(wanted, revision):
                return answer(409, "the configuration was changed by somebody else; try again")
        except (StoreError, OSError) as error:
            return unavailable(error)
        return json_answer(wanted, headers=self._adjusted(current, wanted))

    async def put_config(self, call: Call) -> Response:
        """Answer `PUT /config`: replaced as a whole."""
        assert call.body is not None
        wanted = dict(call.body)
        if refused := _refused({}, wanted):
            return _unprocessable(refused)
        try:
            await self._office.in_pool(
                self._office.store.put, layout.CONFIG, layout.compact(wanted), store_deadline()
            )
        except (StoreError, OSError) as error:
            return answer(502, f"the configuration was not written: {error}")
        self._office.desk.poke("the configuration was changed here")
        return json_answer(wanted, headers=self._adjusted({}, wanted))

    async def _view(self) -> View:
        return await self._office.in_pool(self._office.store.view, store_deadline())

    async def _replace(self, wanted: Mapping[str, Any], revision: int) -> bool:
        text = layout.compact(wanted)
        done = await self._office.in_pool(
            self._office.store.replace, layout.CONFIG, text, revision, store_deadline()
        )
        if done:
            self._office.desk.poke("the configuration was changed here")
        return done

    def _adjusted(
        self, current: Mapping[str, Any], wanted: Mapping[str, Any]
    ) -> tuple[tuple[bytes, bytes], ...]:
        """Name what every member will clamp, and new keys that none will understand."""
        low_ttl = self._office.options.low_ttl
        texts = list(clamp_timing(wanted, low_ttl=low_ttl)[1])
        texts += [str(p) for p in _new_problems(current, wanted) if p.severity == "warning"]
        if not texts:
            return ()
        line = " ".join("; ".join(texts).split())
        return ((ADJUSTED, line.encode("ascii", "replace")[:_MOST_HEADER_BYTES]),)


def _new_problems(current: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[Problem]:
    """What is wrong with `wanted` and was not already wrong: an old slip must not block `pause`."""
    known = {(p.path, p.message) for p in check_dynamic(current)}
    return [p for p in check_dynamic(wanted) if (p.path, p.message) not in known]


def _refused(current: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[Problem]:
    return [p for p in _new_problems(current, wanted) if p.severity == "error"]


def _unprocessable(problems: list[Problem]) -> Response:
    lines = "\n".join(str(problem) for problem in problems)
    return answer(422, f"nothing was changed, because this would be ignored:\n{lines}\n")
