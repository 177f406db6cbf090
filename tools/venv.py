"""Create the checkout's virtual environment and install hae with what the tests need.

Works where `python -m venv` does not: Debian's python3 comes without ensurepip (it is in the
package python3-venv), so pip's own wheel is then fetched from the package index. Belongs here:
nothing but that. Standard library only.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
import venv
from pathlib import Path
from urllib.parse import urljoin

SIMPLE_JSON = "application/vnd.pypi.simple.v1+json"


def main() -> None:
    """Create or complete the environment FOLDER, then pip install REQUIREMENTS into it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("requirements", nargs=argparse.REMAINDER, help="for pip install")
    options = parser.parse_args()
    if sys.version_info < (3, 11):  # noqa: UP036 - this file is run by whatever is there
        sys.exit(f"hae needs Python >= 3.11, and {sys.executable} is {sys.version.split()[0]}")
    python = options.folder / "bin" / "python"
    if not works(python):
        shutil.rmtree(options.folder, ignore_errors=True)
        create(options.folder)
    install = [str(python), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
    done = subprocess.run([*install, *options.requirements], check=False)
    if done.returncode != 0:
        sys.exit("pip could not install the packages (see above): is the package index reachable?")


def works(python: Path) -> bool:
    """Whether an environment is there whose interpreter and pip still run."""
    try:
        tried = subprocess.run(
            [str(python), "-c", "import pip, sys; sys.exit(sys.version_info < (3, 11))"],
            capture_output=True,
            timeout=60,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return tried.returncode == 0


def create(folder: Path) -> None:
    """Create an environment with pip; ends the program with the mend when it cannot."""
    if has_ensurepip():
        venv.create(folder, with_pip=True, symlinks=True)
        return
    print("This Python has no ensurepip: fetching pip from the package index instead.")
    venv.create(folder, with_pip=False, symlinks=True)
    with tempfile.TemporaryDirectory() as scratch:
        wheel = fetch_pip(Path(scratch))
        install = [str(folder / "bin/python"), str(wheel / "pip"), "install", "--quiet", "pip"]
        if subprocess.run(install, check=False).returncode != 0:
            sys.exit("the fetched pip could not install itself (see above)")


def has_ensurepip() -> bool:
    """Whether this Python can install pip by itself."""
    try:
        import ensurepip  # noqa: PLC0415 - Debian's python3 has none

        return bool(ensurepip.version())
    except (ImportError, AttributeError):
        return False


def fetch_pip(folder: Path) -> Path:
    """Download pip's newest wheel, checked against the index's digest."""
    index = os.environ.get("PIP_INDEX_URL", "https://pypi.org/simple").rstrip("/")
    page = f"{index}/pip/"
    try:
        request = urllib.request.Request(page, headers={"Accept": SIMPLE_JSON})  # noqa: S310
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            files = json.load(answer)["files"]
        wheels = [
            entry
            for entry in files
            if entry["filename"].endswith("-none-any.whl") and not entry.get("yanked")
        ]
        newest = max(wheels, key=lambda entry: release(entry["filename"]))
        with urllib.request.urlopen(urljoin(page, newest["url"]), timeout=120) as answer:  # noqa: S310
            content = answer.read()
    except (OSError, ValueError, KeyError, urllib.error.URLError) as error:
        sys.exit(
            f"this Python has no ensurepip, and pip cannot be fetched from {page} ({error}): "
            "install it with your system's packages (Debian: `apt-get install python3-venv`)"
        )
    if hashlib.sha256(content).hexdigest() != newest["hashes"]["sha256"]:
        sys.exit(f"{newest['filename']} from {page} does not have the digest that the index names")
    wheel = folder / str(newest["filename"])
    wheel.write_bytes(content)
    return wheel


def release(filename: str) -> tuple[int, ...]:
    """Return a wheel's version for comparison; pre-releases sort below every release."""
    parts = filename.split("-")[1].split(".")
    return tuple(int(part) for part in parts) if all(p.isdigit() for p in parts) else (0,)


if __name__ == "__main__":
    main()
