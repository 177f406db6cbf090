"""Run a make target as an unprivileged account, when make itself was started by root.

PostgreSQL refuses to run as root, and neither root's checkout nor root's interpreter need be
readable by anyone else (`/root` is 0700). So the checkout is copied to a folder that belongs to an
ordinary account, an interpreter which that account can really run is found or copied beside it, and
make goes on there with root's privileges dropped for good.

Belongs here: the order of these steps, and the environment of the run. Must not: touch the
checkout. Standard library only, because this runs before anything is installed.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import stat
import sys
from pathlib import Path
from typing import NoReturn

from tools.accounts import Account, ToolError, find_account
from tools.copies import checkout_files, copy_tree, fetch
from tools.interpreters import find_python, library_path

PARENTS = ("/var/tmp", "/tmp", "/opt")  # noqa: S108 - the folder inside is created safely
KEPT_NAMES = frozenset(
    {"CI", "TERM", "COLUMNS", "LINES", "LANG", "LANGUAGE", "TZ", "NO_COLOR", "FORCE_COLOR"}
    | {"MAKEFLAGS", "MAKELEVEL", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PYTEST_ADDOPTS"}
    | {"SIM_REVISION"}
)
KEPT_PREFIXES = ("PIP_", "SSL_CERT_", "LC_", "HAE_", "GITHUB_", "GITLAB_", "HYPOTHESIS_")


def main() -> NoReturn:
    """Copy, find an interpreter, drop privileges and become `make TARGET` in the copy."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--print-folder", action="store_true", help="only say where the copy lives")
    parser.add_argument("--fetch", metavar="PATH", help="copy PATH back from the copy, run nothing")
    parser.add_argument("make_arguments", nargs="*", help="targets and variables for make")
    options = parser.parse_args()
    checkout = Path(__file__).resolve().parent.parent
    try:
        account = find_account()
        base = base_folder(checkout)
        if options.print_folder:
            print(base / "src")
            sys.exit(0)
        if options.fetch:
            fetch(account, base / "src", checkout, options.fetch)
            sys.exit(0)
        prepare(base, account)
        copy_tree(account, checkout, base / "src", checkout_files(checkout))
        python = find_python(account, base)
        run_make(account, base, python, options.make_arguments)
    except ToolError as trouble:
        sys.exit(f"tools/unprivileged.py: {trouble}")


def base_folder(checkout: Path) -> Path:
    """Return the folder for this checkout's copy: the same one at every run."""
    name = "hae-" + hashlib.sha256(os.fsencode(checkout)).hexdigest()[:10]
    chosen = os.environ.get("HAE_UNPRIVILEGED_DIR")
    parents = (chosen,) if chosen else PARENTS
    for parent in parents:
        if Path(parent).is_dir() and not os.statvfs(parent).f_flag & os.ST_NOEXEC:
            return Path(parent) / name
    raise ToolError(
        f"none of {', '.join(parents)} is a folder from which programs may run: "
        "set HAE_UNPRIVILEGED_DIR to one that is"
    )


def prepare(base: Path, account: Account) -> None:
    """Create the base folder (root's) and those inside that belong to the account."""
    base.mkdir(mode=0o755, exist_ok=True)
    found = base.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise ToolError(f"{base} belongs to somebody else: remove it, or set HAE_UNPRIVILEGED_DIR")
    base.chmod(0o755)
    for name in ("src", "home", "tmp"):
        folder = base / name
        folder.mkdir(mode=0o755, exist_ok=True)
        os.chown(folder, account.uid, account.gid)
    settings = Path.home() / ".config" / "pip" / "pip.conf"
    if settings.is_file():
        # Root's own package index would be out of reach below its private home.
        copy_tree(account, settings.parent, base / "home/.config/pip", [settings.name], mode=0o600)


def run_make(account: Account, base: Path, python: Path, arguments: list[str]) -> NoReturn:
    """Become `make ARGUMENTS` in the copy, as the account, with a clean environment."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if name in KEPT_NAMES
        or name.startswith(KEPT_PREFIXES)
        or name.lower() in ("http_proxy", "https_proxy", "no_proxy", "all_proxy")
    }
    flags = [
        word for word in environment.get("MAKEFLAGS", "").split(" ") if "jobserver" not in word
    ]
    environment |= {
        "MAKEFLAGS": " ".join(flags),
        "HOME": str(base / "home"),
        "TMPDIR": str(base / "tmp"),
        "USER": account.name,
        "LOGNAME": account.name,
        "SHELL": "/bin/sh",
        "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
        **library_path(python),
    }
    make = shutil.which("make") or shutil.which("gmake")
    if make is None:
        raise ToolError("there is no make on PATH: install it (Debian: `apt-get install make`)")
    print(f"Running as account {account.name} in {base / 'src'} (PostgreSQL refuses root).")
    sys.stdout.flush()
    account.become()
    os.chdir(base / "src")
    command = [make, "--no-print-directory", f"PYTHON={python}", *arguments]
    os.execve(make, command, environment)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main()
