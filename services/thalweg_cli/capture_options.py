"""Reads what is to be captured of a deployment, as it is written on the command line."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from thalweg.errors import UsageError

Capture = Annotated[
    str | None,
    typer.Option(
        "--capture",
        help="What to record of its log: all, boundary (what comes in and goes out), none, or V.P,V.P.  [default: none, with "
        "--capture-last all]",
        show_default=False,
    ),
]
CaptureLast = Annotated[
    str | None,
    typer.Option(
        "--capture-last", metavar="DURATION", help="Keep only the last part of that: 10m. `replay save` saves it.", show_default=False
    ),
]
CaptureSize = Annotated[
    str, typer.Option("--capture-size", metavar="SIZE", help="How much disk the last part may take: 512M, 2G; it is shorter then.")
]
CaptureOn = Annotated[
    str | None,
    typer.Option(
        "--capture-on",
        metavar="WHAT,…",
        help="What has the last part saved by itself: error, expectation, dead-letter.",
        show_default=False,
    ),
]


def read_capture(capture: str | None, last: str | None, size: str, on: str | None) -> dict[str, Any]:
    """As fields of `thalweg.api.deployments.Deploy`.

    Raises:
        UsageError: `capture.invalid`.
    """
    from thalweg.api.deployments import MIN_RING_BYTES
    from thalweg.wire.capturing import ALL, NONE, TRIGGERS
    from thalweg_cli.durations import parse_duration_s
    from thalweg_cli.sizes import parse_size_bytes

    if last is None:
        if on is not None:
            raise UsageError(
                "--capture-on saves the last part of a run, which is not kept", code="capture.invalid", hint="--capture-last 10m"
            )
        return {"capture": capture or NONE}
    seconds, size_bytes = parse_duration_s(last), parse_size_bytes(size)
    if not seconds:
        raise UsageError(f"--capture-last {last}: not a duration", code="capture.invalid", hint="as in 30s, 10m or 2h")
    if size_bytes is None or size_bytes < MIN_RING_BYTES:
        what = "not a size" if size_bytes is None else "that is too small"
        raise UsageError(f"--capture-size {size}: {what}", code="capture.invalid", hint="as in 512M or 2G; at least 64M")
    if capture == NONE:
        raise UsageError("--capture-last keeps nothing with --capture none", code="capture.invalid", hint="leave one of them out")
    triggers = list(dict.fromkeys(one.strip() for one in on.split(","))) if on is not None else []
    for one in triggers:
        if one not in TRIGGERS:
            raise UsageError(
                f"--capture-on {one}: there is no such trigger", code="capture.invalid", hint=f"there are {', '.join(TRIGGERS)}"
            )
    return {"capture": capture or ALL, "capture_last_s": seconds, "capture_max_bytes": size_bytes, "capture_on": triggers}
