"""The configuration in force: node file and dynamic configuration, kept up to date.

Belongs here: reading again, keeping the last good one, caching the dynamic part on disk for the
time when the store has lost it.  Does not belong here: checking (shell/config) or applying.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.policy import Policy
from engine.state import Member
from shell.config import ConfigError, LocalConfig, Settings, effective, load_local
from shell.config.local import needs_daemon_restart
from shell.policy import member_of, policy_of
from shell.postgres.files import mode_for, write_atomically

_log = logging.getLogger(__name__)
CACHE_NAME = "patroni.dynamic.json"


class Configured:
    """Settings, policy and our own member record, as they are now."""

    settings: Settings
    policy: Policy
    me: Member

    def __init__(self, path: str | None, local: LocalConfig) -> None:
        self._path = path
        self._local = local
        self._dynamic: Mapping[str, Any] | None = None
        self._kept: Mapping[str, Any] | None = None
        self._told: set[str] = set()
        self._copying = threading.Lock()
        self._combine()

    @property
    def dynamic(self) -> Mapping[str, Any]:
        """The dynamic configuration: the store's, else the last one known, else bootstrap.dcs."""
        if self._dynamic is not None:
            return self._dynamic
        return self._cached() or self._local.bootstrap_dcs

    def use_dynamic(self, dynamic: Mapping[str, Any] | None) -> bool:
        """Take over what the store has; whether the settings changed."""
        if dynamic is None or dynamic == self._dynamic:
            return False
        self._dynamic = dynamic
        self._combine()
        return True

    def read_again(self) -> bool:
        """Read the node file again; an error is logged and keeps the configuration in force."""
        try:
            fresh = load_local(self._path, self._local.environment)
        except ConfigError as error:
            _log.error("the configuration was not reloaded: %s", error)
            return False
        fixed = needs_daemon_restart(self._local, fresh)
        if fixed:
            _log.warning("changed, but takes effect only at a daemon restart: %s", ", ".join(fixed))
        self._local = fresh
        self._combine()
        return True

    @property
    def copy_is_old(self) -> bool:
        """Whether `keep_copy` has to be called for what changed last."""
        return self._kept is not self._dynamic

    def keep_copy(self) -> None:
        """Write the dynamic configuration beside the data, if there is any.

        Raises PostgresError.
        """
        with self._copying:
            dynamic, self._kept = self._dynamic, None
            data_dir, path = Path(self.settings.postgresql.data_dir), self._cache_path()
            if dynamic is not None and (data_dir / "PG_VERSION").exists():
                text = json.dumps(dynamic, separators=(",", ":"), default=dict)
                write_atomically(path, text, mode=mode_for(path, data_dir))
            self._kept = dynamic

    def _combine(self) -> None:
        self.settings, warnings = effective(self._local, self.dynamic if self._ready() else None)
        self.policy = policy_of(self.settings, self.dynamic)
        self.me = member_of(self.settings)
        for text in warnings:
            if text not in self._told:
                _log.warning("configuration: %s", text)
        self._told.update(warnings)

    def _ready(self) -> bool:
        """The cache's place is known only after the first combination."""
        if not hasattr(self, "settings"):
            self.settings, _ = effective(self._local, None)
        return True

    def _cache_path(self) -> Path:
        return Path(self.settings.postgresql.data_dir, CACHE_NAME)

    def _cached(self) -> Mapping[str, Any] | None:
        try:
            found = json.loads(self._cache_path().read_text())
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None
