"""Errors of Thalweg, grouped by what the caller does next; each carries a dotted code, an exit code and facts as fields."""

from __future__ import annotations

from typing import Any, ClassVar

STOPPED_EXIT_CODE = 143  # of a vertex that was asked to stop (SIGTERM) and has committed what it had in hand; as a shell would say it


class ThalwegError(Exception):
    """Base of every error that a user may see: one line, an optional hint, a stable dotted code, facts as fields.

    Args:
        message: one line that says where and why.
        code: stable dotted name (`graph.port_type_mismatch`); callers branch on it, never on the text.
        hint: one line that says what would help, or None.
        facts: values behind the message, JSON-compatible.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, code: str = "internal", hint: str | None = None, **facts: Any) -> None:
        super().__init__(message)
        self.code, self.hint, self.facts = code, hint, facts


class UsageError(ThalwegError):
    """The command line or a setting cannot be understood."""

    exit_code = 2


class RejectedError(ThalwegError):
    """A graph, file, release or request is not valid: fix the input."""

    exit_code = 3


class RunFailedError(ThalwegError):
    """A run or deployment failed while it was running."""

    exit_code = 4


class NotReproducedError(ThalwegError):
    """A re-run differed, or an expectation was not met."""

    exit_code = 5


class UnreachableError(ThalwegError):
    """A server cannot be reached: retry later."""

    exit_code = 6


class ShutOutError(ThalwegError):
    """NATS has ended the connection for good, as when credentials have expired: start again with new ones."""

    exit_code = 77


class FencedOutError(ThalwegError):
    """A newer copy of this vertex has claimed its place: stop at once, write nothing more."""

    exit_code = 75


class StaleClaimError(ThalwegError):
    """Another copy wrote between reading the log and claiming: read again, claim again."""


def error_of(exit_code: int, message: str, code: str, hint: str | None, facts: dict[str, Any]) -> ThalwegError:
    """The error that another process told of, of the class with that exit code."""
    kinds = (UsageError, RejectedError, RunFailedError, NotReproducedError, UnreachableError)
    kind = next((one for one in kinds if one.exit_code == exit_code), ThalwegError)
    return kind(message, code=code, hint=hint, **facts)
