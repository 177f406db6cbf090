"""The ASGI application: which handler answers which path, after which checks.

Here belongs the dispatching.  Health checks take the short way: one lookup in what is rendered.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from shell.api import health
from shell.api.access import Allowlist, certificate_and_password
from shell.api.explain_calls import ExplainCalls
from shell.api.messages import (
    JSON,
    BadRequest,
    BodyRule,
    Call,
    Disconnected,
    Headers,
    Receive,
    Response,
    Scope,
    Send,
    answer,
    discard_body,
    parse_query,
    read_object,
)
from shell.api.move_calls import MoveCalls
from shell.api.node_calls import NodeCalls
from shell.api.office import Office, not_ready
from shell.api.operator_calls import OperatorCalls
from shell.api.protocol import HAS_CERTIFICATE
from shell.api.store_calls import StoreCalls
from shell.processes import now

log = logging.getLogger(__name__)

Handler = Callable[[Call], Awaitable[Response]]
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
CLOSE = (b"connection", b"close")


@dataclass(frozen=True, slots=True)
class Route:
    """A handler, the body that it wants, and whether members are let in by being members."""

    handler: Handler
    body: BodyRule = "none"
    members_allowed: bool = True


def routes(office: Office) -> Mapping[tuple[str, str], Route]:
    """Return the table of special paths: (method, first segment of the path) -> route."""
    node, store = NodeCalls(office), StoreCalls(office)
    operator, move, explained = OperatorCalls(office), MoveCalls(office), ExplainCalls(office)
    return {
        ("GET", "patroni"): Route(node.patroni),
        ("GET", "liveness"): Route(node.liveness),
        ("GET", "readiness"): Route(node.readiness),
        ("GET", "metrics"): Route(node.metrics),
        ("GET", "failsafe"): Route(node.failsafe_map),
        ("POST", "failsafe"): Route(node.accept_failsafe, "required", members_allowed=False),
        ("GET", "hae"): Route(explained.show),
        ("GET", "cluster"): Route(store.cluster),
        ("GET", "history"): Route(store.history),
        ("GET", "config"): Route(store.config),
        ("PATCH", "config"): Route(store.patch_config, "required"),
        ("PUT", "config"): Route(store.put_config, "required"),
        ("POST", "reload"): Route(operator.reload),
        ("POST", "restart"): Route(operator.restart, "optional"),
        ("DELETE", "restart"): Route(operator.cancel_restart),
        ("POST", "reinitialize"): Route(operator.reinitialize, "optional"),
        ("POST", "switchover"): Route(move.switchover, "required"),
        ("DELETE", "switchover"): Route(move.cancel),
        ("POST", "failover"): Route(move.failover, "required"),
    }


# Callers choose the paths: only so many are remembered.
row_of = lru_cache(maxsize=256)(health.row_of)


class App:
    """One listener's application."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self._routes = routes(office)
        self._extra: Headers = ()
        self._allowlist = Allowlist(())
        self.options_changed()

    def options_changed(self) -> None:
        """Take over the options that the office now has."""
        self._extra = (*self._office.options.extra_headers, CLOSE)
        self._allowlist = Allowlist(self._office.options.rest.allowlist)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        try:
            response = await self._answer(scope, receive)
        except BadRequest as refused:
            response = refused.response
        except Disconnected:
            return
        except Exception:
            log.exception("%s %s failed", scope["method"], scope["path"])
            response = answer(500, "internal error; the log of this node says more")
        await self._send(response, scope["method"], send)

    async def _answer(self, scope: Scope, receive: Receive) -> Response:
        method, path = scope["method"], scope["path"]
        first = path.split("/", 2)[1] if path.startswith("/") else path
        if method in SAFE:
            route = self._routes.get(("GET", first))
            query = parse_query(scope["query_string"])
            if route is None:
                return self._health(path, query)
            headers = dict(scope["headers"])
            return await route.handler(Call(method, path, query, _client(scope), None, headers))
        route = self._routes.get((method, first))
        if route is None:
            await discard_body(receive)
            text = f"Unsupported method ({method!r}): Server does not support this operation"
            return answer(501, text)
        return await self._unsafe(route, scope, receive)

    def _health(self, path: str, query: Mapping[str, str]) -> Response:
        rendering = self._office.rendering()
        if rendering is None:
            return not_ready()
        moment, row = now(), row_of(path)
        holds = row is not None and row.holds(rendering.facts, query, moment)
        return Response(200 if holds else 503, rendering.body(moment, moment), JSON)

    async def _unsafe(self, route: Route, scope: Scope, receive: Receive) -> Response:
        headers: dict[bytes, bytes] = dict(scope["headers"])
        client = _client(scope)
        refused = await self._refused(route, scope, headers)
        if refused is not None:
            await discard_body(receive)
            return refused
        body = await read_object(route.body, headers, receive)
        query = parse_query(scope["query_string"])
        return await route.handler(
            Call(scope["method"], scope["path"], query, client, body, headers)
        )

    async def _refused(
        self, route: Route, scope: Scope, headers: Mapping[bytes, bytes]
    ) -> Response | None:
        if not await self._permits(_client(scope), route):
            return answer(403, "Access is denied")
        refusal = certificate_and_password(
            self._office.options,
            has_certificate=bool(scope.get(HAS_CERTIFICATE)),
            authorization=headers.get(b"authorization"),
        )
        if refusal is None:
            return None
        ask = ((b"www-authenticate", b'Basic realm="Patroni"'),)
        return answer(refusal.status, refusal.text, ask if refusal.ask_for_password else ())

    async def _permits(self, client: str, route: Route) -> bool:
        """Whether the allowlist, and the members if they are to be let in, name the caller."""
        include = self._office.options.rest.allowlist_include_members and route.members_allowed
        if (self._allowlist.empty and not include) or self._allowlist.lists(client):
            return True
        view = self._office.desk.last_cluster()
        urls = [m.api_url for m in view.value.members] if include and view is not None else []
        # Not in the store's pool, nor a listed address behind a resolver that hangs: that is when
        # a primary asks, by POST /failsafe, to go on without the store.
        return await self._office.in_names_pool(self._allowlist.permits, client, urls)

    async def _send(self, response: Response, method: str, send: Send) -> None:
        body = b"" if method == "OPTIONS" else response.body
        headers = [
            (b"content-type", response.content_type),
            (b"content-length", b"%d" % len(body)),
            *response.headers,
            *self._extra,
        ]
        start: dict[str, Any] = {
            "type": "http.response.start",
            "status": response.status,
            "headers": headers,
        }
        await send(start)
        await send({"type": "http.response.body", "body": body})


def _client(scope: Scope) -> str:
    """Return the caller's address, without the zone that an IPv6 link-local address carries."""
    client = scope.get("client")
    return str(client[0]).partition("%")[0] if client else ""
