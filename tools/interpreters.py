"""Python interpreters that another account can run.

Belongs here: trying interpreters for real, and copying one out of a private home. Must not: create
virtual environments. Standard library only.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from tools.accounts import Account, ToolError
from tools.copies import copy_tree, walk

NOT_OF_AN_INTERPRETER = frozenset({"site-packages", "test", "tests", "idle_test", "__pycache__"})
CHECK = "import sys, ssl, sqlite3, venv, ctypes\nsys.exit(sys.version_info < (3, 11))"


def find_python(account: Account, base: Path) -> Path:
    """Return an interpreter (3.11 or later) that the account can run; copies one if it must.

    Raises ToolError when neither works.
    """
    candidates = list(dict.fromkeys(interpreters()))
    for needs in (CHECK + "\nimport ensurepip", CHECK):
        for python in candidates:
            if runs(account, python, needs):
                return python
    for prefix in dict.fromkeys(installation(python) for python in candidates):
        copied = base / "python"
        if prefix is None:
            continue
        name = f"python{sys.version_info.major}.{sys.version_info.minor}"
        print(f"The account {account.name} cannot run {prefix}: copying it to {copied}")
        copied.mkdir(mode=0o755, exist_ok=True)
        os.chown(copied, account.uid, account.gid)
        copy_tree(account, prefix, copied, interpreter_files(prefix))
        if runs(account, copied / "bin" / name, CHECK):
            return copied / "bin" / name
    raise ToolError(
        f"the account {account.name} can run none of {', '.join(map(str, candidates))}: install a "
        "Python >= 3.11 for everybody (Debian: `apt-get install python3-venv`)"
    )


def interpreters() -> Iterator[Path]:
    """Yield the interpreters worth trying: the present one, then those of PATH and /usr."""
    yield Path(sys.executable)
    yield Path(sys.executable).resolve()
    names = ["python3", *(f"python3.{minor}" for minor in range(20, 10, -1))]
    folders = [*os.environ.get("PATH", "").split(os.pathsep), "/usr/local/bin", "/usr/bin"]
    for name in names:
        for folder in folders:
            path = Path(folder) / name
            if folder and path.is_file():
                yield path


def runs(account: Account, python: Path, program: str) -> bool:
    """Whether the account can run `program` with this interpreter, tried for real."""
    try:
        tried = subprocess.run(
            [str(python), "-I", "-c", program],
            check=False,
            user=account.uid,
            group=account.gid,
            extra_groups=[],
            cwd="/",
            env={"PATH": "/usr/bin:/bin", **library_path(python)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return tried.returncode == 0


def library_path(python: Path) -> dict[str, str]:
    """Return where a copied shared-library build of Python finds its own library."""
    library = python.parent.parent / "lib"
    if python.parent.parent.name == "python" and list(library.glob("libpython3*.so*")):
        return {"LD_LIBRARY_PATH": str(library)}
    return {}


def installation(python: Path) -> Path | None:
    """Return the folder of a self-contained installation of this very version, to be copied."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    ask = "import sys; print(sys.base_prefix, '%d.%d' % sys.version_info[:2], sep='\\n')"
    try:
        answer = subprocess.run(
            [str(python), "-I", "-c", ask],
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    lines = answer.stdout.splitlines()
    if len(lines) != 2 or lines[1] != version or lines[0] in ("/", "/usr", "/usr/local"):
        return None
    return Path(lines[0])


def interpreter_files(prefix: Path) -> list[str]:
    """Return what of an installation is needed to run it: no packages, no tests, no headers."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    names = [f"bin/{version}"]
    for name in walk(prefix / "lib", NOT_OF_AN_INTERPRETER):
        top = PurePosixPath(name).parts[0]
        if (top == version or top.startswith("lib")) and not name.endswith((".a", ".pyc")):
            names.append(f"lib/{name}")
    return names
