"""Certificate authorities for tests, and what they sign."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key."""

    cert: Path
    key: Path


class Authority:
    """A certificate authority whose files are `<name>.crt` and `<name>.key` in a folder."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.own = Pair(folder / f"{name}.crt", folder / f"{name}.key")
        _openssl("req", "-x509", *_KEY, "-subj", f"/CN={name}", *_out(self.own))

    def issue(self, name: str, folder: Path | None = None, *, common: bool = True) -> Pair:
        """Sign a certificate for 127.0.0.1 with that common name; an older one is replaced.

        `common=False`: its subject has an organisation instead, as etcd wants it beside logins.
        """
        place = folder or self._folder
        pair = Pair(place / f"{name}.crt", place / f"{name}.key")
        request, names = place / f"{name}.csr", place / f"{name}.names"
        names.write_text("subjectAltName=IP:127.0.0.1")
        subject = f"/{'CN' if common else 'O'}={name}"
        _openssl("req", *_KEY, "-subj", subject, "-keyout", pair.key, "-out", request)
        pair.key.chmod(0o600)
        signer = ("-CA", self.own.cert, "-CAkey", self.own.key, "-CAcreateserial", "-days", "2")
        _openssl("x509", "-req", *signer, "-extfile", names, "-in", request, "-out", pair.cert)
        return pair


def _out(pair: Pair) -> tuple[str | Path, ...]:
    return ("-keyout", pair.key, "-out", pair.cert)


def _openssl(*words: str | Path) -> None:
    subprocess.run(["openssl", *words], check=True, capture_output=True, timeout=60)
