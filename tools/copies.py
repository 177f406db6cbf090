"""Copying a tree for another account: incremental, and written by that account itself.

Belongs here: which files, and the transfer. Must not: write as root into a folder which the
account could have prepared with symbolic links. Standard library only.
"""

from __future__ import annotations

import io
import os
import shutil
import stat
import subprocess
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from tools.accounts import Account, ToolError, as_account, start

NEVER_COPIED = frozenset(
    {".git", ".venv", ".servers", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis"}
    | {"__pycache__", "build", "dist"}
)


def checkout_files(checkout: Path) -> list[str]:
    """Return what git tracks or would track, relative; every file but caches without git."""
    command = ["git", "-c", "safe.directory=*", "-C", str(checkout)]
    command += ["ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, capture_output=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return sorted(walk(checkout, NEVER_COPIED))
    names = {os.fsdecode(name) for name in listed.stdout.split(b"\0") if name}
    if "Makefile" not in names:
        # Not a repository of its own, but a folder that a repository around it may even ignore.
        return sorted(walk(checkout, NEVER_COPIED))
    return sorted(name for name in names if os.path.lexists(checkout / name))


def walk(top: Path, skipped: frozenset[str]) -> Iterator[str]:
    """Yield the files and links below `top`, relative, leaving out folders by name."""
    for folder, names, files in os.walk(top):
        links = [name for name in names if (Path(folder) / name).is_symlink()]
        names[:] = [name for name in names if name not in skipped and name not in links]
        for name in files + links:
            yield str((Path(folder) / name).relative_to(top))


def copy_tree(
    account: Account, source: Path, target: Path, files: Iterable[str], mode: int | None = None
) -> None:
    """Make `target` hold `files` of `source`; the account itself does all the writing.

    Unchanged files (same size and time) stay, files that an earlier run copied and that are gone
    now are deleted, and everything else in the target (a virtual environment) is left alone.
    Raises ToolError when the copy fails.
    """
    reader, writer = os.pipe()
    wanted = list(files)

    def receive() -> None:
        with os.fdopen(reader, "rb") as stream:
            unpack(stream, target)

    def send() -> None:
        os.close(reader)
        with os.fdopen(writer, "wb") as stream:
            pack(stream, source, target, wanted, mode)

    sender = start(send)
    os.close(writer)  # so that the receiver sees the end when the sender dies
    done = as_account(account, receive)
    os.close(reader)
    sent = os.waitpid(sender, 0)[1] == 0
    if not (done and sent):
        raise ToolError(f"cannot copy {source} to {target}")


def pack(stream: IO[bytes], source: Path, target: Path, files: list[str], mode: int | None) -> None:
    """Write a tar of the changed files, after a list of all of them."""
    with tarfile.open(fileobj=stream, mode="w|") as archive:
        names = "\0".join(files).encode(errors="surrogateescape")
        header = tarfile.TarInfo(".copied")
        header.size = len(names)
        archive.addfile(header, io.BytesIO(names))
        for name in files:
            if unchanged(source / name, target / name):
                continue
            member = archive.gettarinfo(str(source / name), arcname=name)
            executable = member.isdir() or member.mode & 0o100
            member.mode = mode if mode is not None else (0o755 if executable else 0o644)
            member.uid = member.gid = 0
            member.uname = member.gname = ""
            if member.isreg():
                # A hard link inside the tree would name a member that may not be sent this time.
                member.type, member.size = tarfile.REGTYPE, (source / name).stat().st_size
                with (source / name).open("rb") as content:
                    archive.addfile(member, content)
            elif member.issym() or member.isdir():
                archive.addfile(member)


def unchanged(ours: Path, theirs: Path) -> bool:
    """Whether the copy has the original's kind, size and time (whole seconds, as tar keeps)."""
    try:
        here, there = ours.lstat(), theirs.lstat()
    except OSError:
        return False
    if stat.S_ISLNK(here.st_mode):
        return theirs.is_symlink() and ours.readlink() == theirs.readlink()
    return (
        stat.S_ISREG(here.st_mode)
        and stat.S_ISREG(there.st_mode)
        and here.st_size == there.st_size
        and int(here.st_mtime) == int(there.st_mtime)
        and bool(here.st_mode & 0o100) == bool(there.st_mode & 0o100)
    )


def unpack(stream: IO[bytes], target: Path) -> None:
    """Write what `pack` sent, and delete what an earlier run wrote and this one does not name."""
    target.mkdir(parents=True, exist_ok=True)
    record = target / ".copied"
    before = read_names(record)
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        # The sender is this program itself, so links may point anywhere, as they do in a checkout.
        archive.extraction_filter = lambda member, _path: member
        for member in archive:
            path = target / member.name
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path.is_symlink() or path.is_file():
                path.unlink()
            archive.extract(member, target, set_attrs=True)
            if member.name == ".copied":
                # At once, because a vanished file may have become a folder.
                for name in sorted(before - read_names(record), reverse=True):
                    remove(target, PurePosixPath(name))


def read_names(record: Path) -> set[str]:
    """Return the relative names in a record of copied files; none when it is absent."""
    try:
        content = record.read_bytes()
    except FileNotFoundError:
        return set()
    return {os.fsdecode(name) for name in content.split(b"\0") if name}


def remove(target: Path, name: PurePosixPath) -> None:
    """Delete one vanished file and the folders that it leaves empty."""
    (target / name).unlink(missing_ok=True)
    for folder in name.parents:
        if str(folder) == ".":
            return
        cache = target / folder / "__pycache__"
        try:
            if {entry.name for entry in (target / folder).iterdir()} == {"__pycache__"}:
                shutil.rmtree(cache)
            (target / folder).rmdir()
        except OSError:
            return


def fetch(account: Account, copy: Path, checkout: Path, name: str) -> None:
    """Bring a file or folder that a run wrote (a report) back into root's checkout.

    Only the account's own regular files inside the copy: a link must not make root read others'.
    """
    origin = copy / name
    found = [name] if origin.is_file() else [f"{name}/{path}" for path in walk(origin, frozenset())]
    for path in found:
        real = (copy / path).resolve()
        if not (real.is_relative_to(copy.resolve()) and real.is_file()):
            continue
        if real.stat().st_uid != account.uid:
            continue
        (checkout / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(real, checkout / path)
