"""What every command of `hae ctl` starts from: configuration, the store, one cluster's view.

Belongs here: finding and reading the configuration file, opening the store, turning the errors of
both into messages.  Does not belong here: what a command does with them.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import click

from ctl.cluster import ClusterView, read_view
from ctl.rest import RestClient
from shell.config.checking import Check
from shell.config.environment import load_variable, read_environment, whole_configuration
from shell.config.loading import Loaded, load_path, merge
from shell.config.schema_stores import STORES
from shell.processes import now
from shell.stores.base import Store, StoreError
from shell.stores.factory import open_store, open_store_url

CONFIG_FILES = ("~/.config/hae/hae.yaml", "~/.config/patroni/patronictl.yaml")
CONFIG_VARIABLES = ("HAE_CONFIG_FILE", "PATRONICTL_CONFIG_FILE")
STORE_DEADLINE_SECONDS = 10.0
_OURS = ("scope", "namespace", "ctl", "restapi.authentication", "restapi.cafile", *STORES)

_TLS_FILES = (
    ("ctl", "cacert"),
    ("ctl", "certfile"),
    ("ctl", "keyfile"),
    ("restapi", "cafile"),
)


def refuse(text: str) -> NoReturn:
    """End the command with `Error: ...` and exit code 1."""
    raise click.ClickException(text)


@dataclass(slots=True)
class Settings:
    """The options of the `ctl` group and the configuration that they lead to."""

    values: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""
    dcs_url: str | None = None
    insecure: bool = False

    def cluster_name(self, given: str | None) -> str:
        """The cluster that the command is about; refuses when none is named anywhere."""
        name = given or str(self.values.get("scope") or "")
        if not name:
            refuse(
                "no cluster named: give CLUSTER_NAME, or `scope` in the configuration file"
                f" ({self.source or 'none found'})"
            )
        return name

    def rest_client(self) -> RestClient:
        """A client for the members' REST API; refuses when a file that it needs is missing."""
        for section, name in _TLS_FILES:
            path = (self.values.get(section) or {}).get(name)
            if path and not os.access(path, os.R_OK):
                refuse(f"{section}.{name}: {path} does not exist or cannot be read")
        return RestClient(self.values, insecure=self.insecure)

    def open_store(self, scope: str) -> Store:
        """The store of that cluster; refuses with the mend when there is none."""
        namespace = str(self.values.get("namespace") or "service")
        url = self.dcs_url or self.values.get("dcs_url")
        if url is None and not any(self.values.get(kind) for kind in STORES):
            where = self.source or "no configuration file was found"
            refuse(
                f"no store is configured ({where}): give --config-file FILE with a section such as"
                " `etcd3:`, or --dcs-url etcd3://host:2379"
            )
        with store_errors():
            if url is not None:
                return open_store_url(str(url), namespace, scope)
            return open_store(self.values, namespace=namespace, scope=scope)

    @contextmanager
    def access(self, given: str | None) -> Iterator["Access"]:
        """Open one cluster that must exist; closes the store afterwards."""
        access = Access(self.cluster_name(given), self)
        try:
            with store_errors():
                view = access.read()
                if not view.exists:
                    refuse(access.absent_text())
                yield access
        finally:
            access.store.close()


class Access:
    """One cluster: its store, its last view, and a client for its members."""

    def __init__(self, name: str, settings: Settings) -> None:
        self.name = name
        self.store = settings.open_store(name)
        self.rest = settings.rest_client()
        self.view = ClusterView(name, read_view(name, {}).record, exists=False)
        self._source = settings.dcs_url or settings.source

    def read(self) -> ClusterView:
        """Ask the store again, linearizably where it can; raises StoreError."""
        self.view = read_view(self.name, self.store.read(self.deadline()).entries)
        return self.view

    def deadline(self) -> float:
        """A deadline for one store request that starts now."""
        return now() + STORE_DEADLINE_SECONDS

    def absent_text(self) -> str:
        """Why nothing was found, and what exists instead."""
        try:
            others = [scope for scope in self.store.scopes(self.deadline()) if scope != self.name]
        except StoreError:
            others = []
        known = f"; the store knows: {', '.join(others)}" if others else ""
        return (
            f"cluster {self.name} does not exist in the store ({self._source}){known}."
            " Check the name, `scope`, `namespace` and the store's address"
        )


@contextmanager
def store_errors() -> Iterator[None]:
    """Turn a failure of the store into a message and exit code 1."""
    try:
        yield
    except StoreError as error:
        raise click.ClickException(f"the store cannot be used: {error}") from error


def load_settings(path: str | None, dcs_url: str | None, insecure: bool) -> Settings:
    """Read the configuration; refuses with every problem of the parts that ctl needs.

    `path` None: the environment's file, then the default places, then no file at all.
    """
    loaded, source = _load(path)
    overrides = read_environment(os.environ)
    loaded.data = merge(loaded.data, overrides.data)
    dcs_in_file = loaded.data.pop("dcs_url", None)
    check = Check("local", loaded.places, "warning")
    check.walk(loaded.data)
    fatal = [
        problem
        for problem in [*loaded.problems, *overrides.problems, *check.problems]
        if problem.severity == "error" and _concerns_us(problem.path)
    ]
    if fatal:
        refuse("the configuration cannot be used:\n" + "\n".join(f"  {p}" for p in fatal))
    values = dict(check.values)
    if dcs_in_file:
        values["dcs_url"] = dcs_in_file
    section = values.get("ctl") or {}
    return Settings(values, source, dcs_url, insecure or section.get("insecure") is True)


def _concerns_us(path: str) -> bool:
    """A node's file is used as well: what only its daemon reads is not judged here."""
    return not path or any(path == ours or path.startswith(f"{ours}.") for ours in _OURS)


def _load(path: str | None) -> tuple[Loaded, str]:
    named = path or next((os.environ[v] for v in CONFIG_VARIABLES if os.environ.get(v)), None)
    if named is not None:
        file = Path(named).expanduser()
        if not file.exists():
            refuse(f"configuration file {file} does not exist")
        return load_path(file), str(file)
    for default in CONFIG_FILES:
        file = Path(default).expanduser()
        if file.is_file():
            return load_path(file), str(file)
    variable = whole_configuration(os.environ)
    if variable is not None:
        return load_variable(os.environ, variable), f"environment {variable}"
    return Loaded(), ""
