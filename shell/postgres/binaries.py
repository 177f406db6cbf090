"""Where PostgreSQL's programs are, and of which version they are.

Not here: running them (`commands.py`).
"""

import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from shell.postgres.commands import clean_environment
from shell.postgres.errors import PostgresError

OLDEST_VERSION = 13
_DEBIAN = Path("/usr/lib/postgresql")


class Binaries:
    """The programs of one PostgreSQL installation; looked up once."""

    def __init__(self, bin_dir: str | None = None, names: Mapping[str, str] | None = None) -> None:
        """`bin_dir` as configured (empty: search); `names` are the user's own program names."""
        self._bin_dir = bin_dir or ""
        self._names = dict(names or {})
        self._paths: dict[str, str] = {}
        self._version: int | None = None
        self._known_parameters: set[str] | None = None

    def path(self, tool: str) -> str:
        """Return the absolute path of a tool; raises PostgresError that says how to mend it."""
        if tool not in self._paths:
            self._paths[tool] = self._find(tool)
        return self._paths[tool]

    def has(self, tool: str) -> bool:
        """Whether the tool is there."""
        try:
            self.path(tool)
        except PostgresError:
            return False
        return True

    def version(self) -> int:
        """Return the major version of the server program, such as 16."""
        if self._version is None:
            text = self._output([self.path("postgres"), "--version"])
            found = re.search(r"\(PostgreSQL\) (\d+)", text)
            if found is None:
                raise PostgresError(
                    f"{self.path('postgres')} --version says {text!r}, not a PostgreSQL version: "
                    "set postgresql.bin_dir to PostgreSQL's own programs"
                )
            self._version = int(found[1])
            if self._version < OLDEST_VERSION:
                raise PostgresError(
                    f"{self.path('postgres')} is PostgreSQL {self._version}; "
                    f"{OLDEST_VERSION} or newer is needed: set postgresql.bin_dir"
                )
        return self._version

    def knows_parameter(self, name: str) -> bool:
        """Whether the server has a parameter of that name; dotted names belong to extensions."""
        if "." in name:
            return True
        if self._known_parameters is None:
            listing = self._output([self.path("postgres"), "--describe-config"])
            self._known_parameters = {
                line.split("\t", 1)[0].lower() for line in listing.split("\n")
            }
        if name.lower() in self._known_parameters:
            return True
        # The listing leaves out developer options; the server itself knows them.
        if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) and self._output(
            [self.path("postgres"), "-D", "/", "--config-file=/dev/null", "-C", name]
        ):
            self._known_parameters.add(name.lower())
            return True
        return False

    def _find(self, tool: str) -> str:
        name = self._names.get(tool) or tool
        if self._bin_dir or "/" in name:
            path = Path(self._bin_dir, name)
            if path.is_file():
                return str(path)
            raise PostgresError(
                f"{path} is missing: install PostgreSQL's {tool}, or mend postgresql.bin_dir"
            )
        on_path = shutil.which(name)
        if on_path:
            return on_path
        versions = sorted(_DEBIAN.glob("*/bin"), key=_debian_version, reverse=True)
        for folder in versions:
            if (folder / name).is_file():
                return str(folder / name)
        raise PostgresError(
            f"{name} is neither on PATH nor in {_DEBIAN}/*/bin: "
            "install PostgreSQL, or set postgresql.bin_dir"
        )

    def _output(self, argv: list[str]) -> str:
        try:
            done = subprocess.run(
                argv,
                capture_output=True,
                text=True,
                timeout=20,
                check=False,
                env=clean_environment(),
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise PostgresError(f"cannot run {argv[0]}: {error}") from None
        return done.stdout


def _debian_version(folder: Path) -> float:
    try:
        return float(folder.parent.name)
    except ValueError:
        return 0.0
