"""How a vertex is handed what NATS lets it in by."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from thalweg.access.access import Access
from thalweg.errors import RejectedError
from thalweg_coordinator.launching import Start
from thalweg_vertex.access import hand_on, take_access

ACCESS = Access(None, "CREDENTIALS\nOF SEVERAL LINES", None, "PEM")
TAKE = "import sys; from thalweg_vertex.access import take_access as take; a = take(int(sys.argv[1])); print(a.text, a.ca_text)"


def piped(data: bytes) -> int:
    """A descriptor that gives it."""
    found, other = os.pipe()
    os.write(other, data)
    os.close(other)
    return found


def test_what_follows_the_line_stays_for_who_takes_secrets() -> None:
    what = Start("flow", "wet", secrets={"token": "s3cret"}, access=ACCESS)
    assert what.words()[-2:] == ["--access", "0"] and "s3cret" not in repr(what) and "CREDENTIALS" not in repr(what)
    source = piped(what.handed_over())
    kept = os.dup(source)
    assert take_access(source) == ACCESS
    assert os.read(kept, 100) == b'{"token": "s3cret"}'
    os.close(kept)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(source)  # it is closed: the component cannot read it


def test_without_credentials_and_secrets_nothing_is_handed_over() -> None:
    assert Start("flow", "wet").handed_over() == b"" and "--access" not in Start("flow", "wet").words()
    assert Start("flow", "wet", secrets={"a": "b"}).handed_over() == b'{"a": "b"}'


@pytest.mark.parametrize("data", [b"", b"half a li", b"{}\n", b"\xff\n", b"x" * 3000])
def test_what_has_not_come_whole_is_told(data: bytes) -> None:
    with pytest.raises(RejectedError) as caught:
        take_access(piped(data))
    assert caught.value.code == "credentials.undelivered"


def test_a_program_in_place_of_this_one_can_take_it() -> None:
    handed = hand_on(ACCESS)
    done = subprocess.run([sys.executable, "-c", TAKE, str(handed)], pass_fds=[handed], capture_output=True, text=True, check=False)
    os.close(handed)
    assert done.stdout == f"{ACCESS.text} PEM\n", done.stderr
