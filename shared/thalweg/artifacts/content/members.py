"""The rules for an archive's members: where they may go, how many and how large they may be; pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from thalweg.artifacts.content.faults import unsafe

MAX_MEMBERS = 100_000
MAX_UNPACKED_BYTES = 64 << 30
MAX_RATIO = 250
_FREE_BYTES = 64 << 20  # a small archive of very regular content may pass the ratio

Kind = Literal["file", "directory", "symlink", "hardlink", "special"]


@dataclass
class Members:
    """Takes the members of one archive in turn, and refuses the first that breaks a rule.

    Attributes:
        packed_bytes: size of the archive.
        count: members so far.
        unpacked_bytes: what their files take in all.
    """

    packed_bytes: int
    count: int = 0
    unpacked_bytes: int = 0
    _names: list[str] = field(default_factory=list)
    _targets: list[str] = field(default_factory=list)
    _links: set[str] = field(default_factory=set)

    def take(self, name: str, kind: Kind, size_bytes: int, target: str = "") -> None:
        """One more member, before its content is read.

        Raises:
            RejectedError: `file.unsafe`.
        """
        self.count += 1
        self.unpacked_bytes += size_bytes
        self._check_bounds(name)
        if kind == "special":
            raise unsafe(_shown(name), "neither a file, a directory nor a link")
        inside = _inside(name, [], name)
        self._names.append("/".join(inside))
        if kind == "symlink":
            self._links.add(self._names[-1])
            self._targets.append("/".join(_inside(name, inside[:-1], target)))
        elif kind == "hardlink":
            self._targets.append("/".join(_inside(name, [], target)))

    def finish(self) -> None:
        """The rules that need all members: with a link in the middle of a path, each of two harmless members can lead out.

        Raises:
            RejectedError: `file.unsafe`.
        """
        for path in (*self._names, *self._targets) if self._links else ():
            parts = path.split("/")
            for length in range(1, len(parts)):
                if (through := "/".join(parts[:length])) in self._links:
                    raise unsafe(_shown(path), f"leads through the link {through}")
        if sum(name in self._links for name in self._names) > len(self._links):
            raise unsafe("archive", "a link and another member have one name")

    def _check_bounds(self, name: str) -> None:
        if self.count > MAX_MEMBERS:
            raise unsafe(_shown(name), f"the archive has more than {MAX_MEMBERS} members")
        if self.unpacked_bytes > MAX_UNPACKED_BYTES:
            raise unsafe(_shown(name), f"the archive unpacks to more than {MAX_UNPACKED_BYTES >> 30} GiB")
        if self.unpacked_bytes > max(_FREE_BYTES, MAX_RATIO * self.packed_bytes):
            raise unsafe(_shown(name), f"the archive unpacks to more than {MAX_RATIO} times its size")


def _inside(member: str, folder: list[str], path: str) -> list[str]:
    """Parts of a path that starts in a folder of the archive; refused when it leads out.

    `..` is taken at the start of a link's target only: behind a name it means what that name leads to.
    """
    plain = path.replace("\\", "/")
    if "\0" in path or plain.startswith("/") or plain[1:2] == ":":
        raise unsafe(_shown(member), f"{_shown(path)} is an absolute path")
    parts = [part for part in plain.split("/") if part not in ("", ".")]
    ups = next((index for index, part in enumerate(parts) if part != ".."), len(parts))
    if ups > len(folder) or ".." in parts[ups:]:
        raise unsafe(_shown(member), f"{_shown(path)} leads out of the archive by ..")
    return folder[: len(folder) - ups] + parts[ups:]


def _shown(name: str) -> str:
    return repr(name if len(name) <= 80 else name[:80] + "…")
