"""Takes from the launcher what the vertex is let in by NATS with."""

from __future__ import annotations

import os

from thalweg.access.access import MAX_LINE_BYTES, Access


def take_access(descriptor: int) -> Access:
    """One line of an open file; what follows stays there, for `take_secrets` or the component. Blocking.

    Raises:
        RejectedError: `credentials.undelivered`, the coordinator has died while it wrote: start again.
    """
    line = bytearray()
    try:
        while len(line) < MAX_LINE_BYTES and (byte := os.read(descriptor, 1)) not in (b"", b"\n"):
            line += byte  # one by one: what is read too much could not be put back
    except OSError:
        line.clear()
    if descriptor > 2:
        os.close(descriptor)
    return Access.of_line(line.decode(errors="replace"))


def hand_on(access: Access) -> int:
    """A descriptor that a program in place of this one can take it from; neither arguments, environment nor disk have it."""
    line = access.line().encode() + b"\n"
    if hasattr(os, "memfd_create"):
        found = os.memfd_create("access")
        os.write(found, line)
        os.lseek(found, 0, os.SEEK_SET)
    else:
        found, other = os.pipe()
        os.write(other, line)  # a pipe holds more than credentials have
        os.close(other)
    os.set_inheritable(found, True)
    return found
