"""Which store a configuration or a URL opens, and what is said about wrong ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from shell.stores.base import StoreMisconfigured
from shell.stores.embedded import EmbeddedStore
from shell.stores.endpoints import parse_etcd_section
from shell.stores.etcd2 import Etcd2Store
from shell.stores.etcd3 import Etcd3Store
from shell.stores.factory import open_store, open_store_url


@pytest.mark.parametrize(
    ("settings", "urls"),
    [
        ({"host": "h1"}, ["http://h1:2379"]),
        ({"host": "h1:2380"}, ["http://h1:2380"]),
        ({"hosts": "h1:1, h2:2,"}, ["http://h1:1", "http://h2:2"]),
        ({"hosts": "'h1:1','h2'"}, ["http://h1:1", "http://h2:2379"]),
        ({"hosts": ["h1", "h2:2"]}, ["http://h1:2379", "http://h2:2"]),
        ({"host": "h1", "protocol": "https"}, ["https://h1:2379"]),
        ({"host": "h1", "cacert": "/ca"}, ["https://h1:2379"]),
        ({"host": "::1"}, ["http://[::1]:2379"]),
        ({"host": "[::1]:9"}, ["http://[::1]:9"]),
        ({"url": "https://u:p%40@h1:9", "host": "other"}, ["https://h1:9"]),
        ({"proxy": "http://h1:9"}, ["http://h1:9"]),
        ({"host": "https://h1"}, ["https://h1:2379"]),
    ],
)
def test_addresses(settings: dict[str, Any], urls: list[str]) -> None:
    """Every way to write an address leads to the same kind of URL."""
    assert list(parse_etcd_section("etcd3", settings).urls) == urls


def test_credentials_and_proxies() -> None:
    """A URL's credentials count, quoted characters are read, and proxies are not discovered."""
    parsed = parse_etcd_section("etcd", {"url": "https://u:p%40@h1:9"})
    assert (parsed.username, parsed.password, parsed.discover) == ("u", "p@", True)
    assert "p@" not in repr(parsed)
    assert not parse_etcd_section("etcd", {"proxy": "h1"}).discover
    assert not parse_etcd_section("etcd", {"host": "h1", "use_proxies": "on"}).discover


def test_srv_records() -> None:
    """The first service with records counts; peers' records lead to the client port."""
    asked: list[str] = []

    def lookup(name: str) -> list[tuple[str, int]]:
        asked.append(name)
        return [("h1", 2380)] if name.startswith("_etcd-server-x.") else []

    parsed = parse_etcd_section(
        "etcd3", {"srv": "example.org", "srv_suffix": "x"}, srv_lookup=lookup
    )
    assert parsed.urls == ("http://h1:2379",)
    assert asked[0] == "_etcd-client-ssl-x._tcp.example.org"
    with pytest.raises(StoreMisconfigured, match=r"etcd3\.srv"):
        parse_etcd_section("etcd3", {"srv": "example.org"}, srv_lookup=lambda _: [])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "etcd3: set one of host"),
        ("h1:2379", "etcd3: expected a mapping"),
        ({"host": "h1:port"}, r"etcd3\.host: found 'h1:port'"),
        ({"url": "ftp://u:secret@h1"}, r"etcd3\.url: found 'h1'"),
        ({"host": "h1", "protocol": "gopher"}, r"etcd3\.protocol: found 'gopher'"),
    ],
)
def test_wrong_sections_are_named(settings: Any, message: str) -> None:
    """The error has the path of the wrong value, and never a password."""
    with pytest.raises(StoreMisconfigured, match=message) as caught:
        parse_etcd_section("etcd3", settings)
    assert "secret" not in str(caught.value)


def test_the_section_chooses_the_store(tmp_path: Path) -> None:
    """Each section opens its adapter, without connecting."""
    made = [
        open_store(config, namespace="service", scope="demo")
        for config in (
            {"etcd3": {"host": "h1"}, "name": "n1"},
            {"etcd": {"host": "h1"}},
            {"embedded": {"path": str(tmp_path / "db")}},
        )
    ]
    assert [type(store) for store in made] == [Etcd3Store, Etcd2Store, EmbeddedStore]
    for store in made:
        store.close()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, "no store is configured"),
        ({"consul": {"host": "h1"}}, "section consul: this store is not built yet"),
        ({"etcd": {"host": "a"}, "etcd3": {"host": "b"}}, "more than one store"),
        ({"embedded": {"path": "relative"}}, r"embedded\.path: expected the absolute path"),
        ({"embedded": "text"}, r"embedded\.path"),
    ],
)
def test_wrong_configurations_are_named(config: dict[str, Any], message: str) -> None:
    """The error says what is wrong and what can be used."""
    with pytest.raises(StoreMisconfigured, match=message):
        open_store(config, namespace="service", scope="demo")


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("h1", Etcd3Store),
        ("h1:2379", Etcd3Store),
        ("//h1:2379", Etcd3Store),
        ("etcd3://h1", Etcd3Store),
        ("etcd://h1:2379/ns", Etcd2Store),
        ("etcd3://[::1]:2379", Etcd3Store),
        ("embedded:///tmp/some/file", EmbeddedStore),
    ],
)
def test_the_url_chooses_the_store(url: str, kind: type) -> None:
    """Schemes, guessed schemes and paths as in ctl's --dcs-url."""
    store = open_store_url(url, "service", "demo")
    assert type(store) is kind
    store.close()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("consul://h1", "consul: this store is not built yet"),
        ("h1:2181", "zookeeper: this store is not built yet"),
        ("gopher://h1", "unknown scheme 'gopher'"),
        ("etcd3://h1:port", "etcd3://h1:port"),
        ("embedded://relative", "absolute path"),
    ],
)
def test_wrong_urls_are_named(url: str, message: str) -> None:
    """The error names the URL or the store."""
    with pytest.raises(StoreMisconfigured, match=message):
        open_store_url(url, "service", "demo")
