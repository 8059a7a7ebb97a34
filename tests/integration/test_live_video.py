"""Live video against real servers: RTSP over TCP and UDP, FFmpeg's device layer, video on a web server."""

from __future__ import annotations

import base64
import os
import signal
import socket
import struct
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import rtsp

from integration.live import DEADLINE_S, LiveSource, bound
from thalweg import Context, RecordError, RejectedError, UnreachableError
from thalweg.embedded.process import ManagedProcess
from thalweg.embedded.servers import find_program, free_ports
from thalweg_components.sources.camera_source import CameraSource
from thalweg_components.sources.rtsp_source import RtspSource
from thalweg_components.sources.video_url_source import VideoUrlSource

FRAMES, RATE, WIDTH, HEIGHT = 20, 25, 160, 120
HOUR_S, SINCE_1900_S = 3600, 2_208_988_800
SECRETS = {"user": "viewer", "password": "p@ss/word"}


def picture(index: int) -> Any:
    """A frame whose brightness says which one it is."""
    return av.VideoFrame.from_ndarray(np.full((HEIGHT, WIDTH, 3), 20 + index * 10 % 200, np.uint8), format="bgr24").reformat(
        format="yuv420p"
    )


def write_clip(path: Path, **options: str) -> None:
    """A clip of `FRAMES` frames, a second or so long; what container it is, its name says."""
    with av.open(str(path), "w", options=options) as out:
        stream = out.add_stream("libx264", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.options = {"tune": "zerolatency", "preset": "ultrafast", "g": "5"}
        for index in range(FRAMES):
            frame = picture(index)
            frame.pts = index
            out.mux(stream.encode(frame))
        out.mux(stream.encode())


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a clip as a file and as an HLS playlist."""
    folder = tmp_path_factory.mktemp("media")
    write_clip(folder / "clip.mp4")
    write_clip(folder / "clip.m3u8", hls_time="0.2", hls_list_size="0")
    return folder


@pytest.fixture(scope="module")
def rtsp_server(media: Path) -> Iterator[tuple[ManagedProcess, str]]:
    """A server that shows files by RTSP over TCP, again from the start for each client."""
    (port,) = free_ports(1)
    words = [find_program("rtsp-server", "aio-rtsp-toolkit"), "--dir", str(media), "--host", "127.0.0.1", "--port", str(port)]
    process = ManagedProcess("rtsp", words, log_path=media / "log", is_ready=lambda: answers(port))
    process.start()
    process.wait_ready(DEADLINE_S)
    yield process, f"rtsp://127.0.0.1:{port}/clip.mp4"
    process.stop()


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def test_frames_of_a_camera_come_until_it_ends(rtsp_server: tuple[ManagedProcess, str]) -> None:
    found = LiveSource(
        RtspSource, {"url": rtsp_server[1], "at_end": "end", "width": 80, "every": 2, "when_full": "block", "clock": "arrival"}
    )
    await found.start().ended()
    assert [one.index for one in found.values] == list(range(FRAMES // 2))
    assert all((one.image.format, one.image.width, one.image.height) == ("jpeg", 80, 60) for one in found.values)
    assert abs(time.time_ns() - found.times[-1]) < DEADLINE_S * 1e9 and found.times == sorted(found.times)
    assert found.values[0].time == 0 and found.values[-1].time == pytest.approx((found.times[-1] - found.times[0]) / 1e9)


async def test_a_camera_that_goes_away_is_waited_for_and_indices_go_on_over_a_kill(rtsp_server: tuple[ManagedProcess, str]) -> None:
    process, url = rtsp_server
    found = LiveSource(RtspSource, {"url": url, "when_full": "block", "clock": "arrival"})
    running = found.start()
    await running.until_count(3)
    former = process.pid
    assert former is not None
    os.kill(former, signal.SIGKILL)
    process.wait_restarted(former, DEADLINE_S)
    await running.until_count(len(found.values) + FRAMES)  # more than it can have held
    await running.kill()
    running = found.start()
    await running.until_count(len(found.values) + 3)
    await running.drain()
    assert [one.index for one in found.values] == list(range(len(found.values)))
    assert found.last.counters.dropped == 0 and found.last.drained


class UdpCamera:
    """Sends a stream by RTSP over UDP, and tells by RTCP that its clock is an hour behind."""

    def __init__(self) -> None:
        (port,) = free_ports(1)
        self.url = f"rtsp://127.0.0.1:{port}/stream"
        self._server, self._is_over = rtsp.Server(f"127.0.0.1:{port}"), threading.Event()
        self._thread = threading.Thread(target=self._send)

    def __enter__(self) -> UdpCamera:
        self._server.start()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()
        self._server.stop()

    def _send(self) -> None:
        encoder: Any = av.CodecContext.create("libx264", "w")
        encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = WIDTH, HEIGHT, "yuv420p", Fraction(1, RATE)
        encoder.options = {"tune": "zerolatency", "preset": "ultrafast", "x264-params": "keyint=5"}
        packetizer, index = rtsp.H264Packetizer(), 0
        while not self._is_over.wait(1 / RATE):
            frame = picture(index)
            frame.pts, index = index, index + 1
            for packet in encoder.encode(frame):
                for piece in packetizer.packetize(bytes(packet), 90_000 // RATE):
                    self._server.broadcast_rtp_packet(_sender_report(bytes(piece)))
                    self._server.broadcast_rtp_packet(piece)


def _sender_report(piece: bytes) -> bytes:
    """RTCP's report (RFC 3550, 6.4.1) for an RTP packet, from the clock of an hour ago."""
    stamp, sender = struct.unpack("!II", piece[4:12])
    now = time.time() - HOUR_S + SINCE_1900_S
    return struct.pack("!BBHIIIIII", 0x80, 200, 6, sender, int(now), int(now % 1 * 2**32), stamp, 0, 0)


@pytest.mark.parametrize(("clock", "behind_s"), [("camera", HOUR_S), ("arrival", 0)])
async def test_the_event_time_is_the_cameras_clock_where_it_tells_it(clock: str, behind_s: int) -> None:
    with UdpCamera() as camera:
        found = LiveSource(RtspSource, {"url": camera.url, "transport": "udp", "clock": clock})
        running = found.start()
        await running.until_count(5)
        await running.drain()
    assert abs(time.time_ns() / 1e9 - behind_s - found.times[-1] / 1e9) < DEADLINE_S
    assert found.times == sorted(found.times)


def test_a_camera_that_refuses_or_is_away_is_told_without_its_secrets() -> None:
    with pytest.raises(UnreachableError, match="Connection refused") as away:
        bound(RtspSource, {"url": "rtsp://127.0.0.1:9/a"}, SECRETS).probe()
    server = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=_refuse, args=(server,))
    thread.start()
    with server, pytest.raises(RejectedError, match="refuses") as refused:
        bound(RtspSource, {"url": f"rtsp://127.0.0.1:{server.getsockname()[1]}/a"}, SECRETS).probe()
    thread.join()
    assert not any(secret in repr((str(one.value), one.value.hint)) for one in (away, refused) for secret in ("p@ss", "p%40ss", "viewer"))


def _refuse(server: socket.socket) -> None:
    """Answers each request with 401, as a camera does that knows another password; Digest, so that the client tries again with its own."""
    connection, _ = server.accept()
    with connection:
        while request := connection.recv(4096).decode():
            sequence = next(line for line in request.splitlines() if line.lower().startswith("cseq"))
            challenge = 'WWW-Authenticate: Digest realm="camera", nonce="1"\r\n'
            connection.sendall(f"RTSP/1.0 401 Unauthorized\r\n{sequence}\r\n{challenge}\r\n".encode())


@pytest.mark.parametrize("when_full", ["drop-oldest", "drop-newest", "block"])
def test_frames_without_room_are_dropped_as_asked_and_counted(when_full: str) -> None:
    device = {"driver": "lavfi", "device": f"testsrc2=size={WIDTH}x{HEIGHT}:rate={RATE}:duration=2"}
    source, context = bound(CameraSource, {**device, "when_full": when_full, "buffer": 4, "format": "bgr8"}), Context("camera", {}, {}, {})
    source.setup(context)
    given = source.read(None, context)
    first = next(given).value.index
    if when_full != "block":
        source._capture._thread.join(DEADLINE_S)  # the device gives its frames as fast as it can, and ends
    indices = [first, *(one.value.index for one in given)]
    source.close()
    total = 2 * RATE
    assert context.dropped_count == total - len(indices)
    assert indices == sorted(set(indices))
    if when_full == "block":
        assert indices == list(range(total))
    else:
        assert len(indices) < 10 and (indices[-1] == total - 1) == (when_full == "drop-oldest")


async def test_a_device_that_is_not_there_is_waited_for() -> None:
    found = LiveSource(CameraSource, {"device": "/dev/no-such-camera", "timeout_s": 0.5})
    running = found.start()
    await running.until(lambda: found.log.commits)
    await running.drain()
    assert found.last.ended and not found.values
    unknown = LiveSource(CameraSource, {"driver": "no_such_driver"})
    await unknown.start().ended()
    assert unknown.last.failure is not None and unknown.last.failure.code == "video.refused"
    with pytest.raises(UnreachableError, match="No such file"):
        bound(CameraSource, {"device": "/dev/no-such-camera"}).probe()


class Web(SimpleHTTPRequestHandler):
    """Files for those who know the password; of a name with `cut` in its query, only half at first."""

    cuts: set[str]

    def do_GET(self) -> None:
        wanted = "Basic " + base64.b64encode(f"{SECRETS['user']}:{SECRETS['password']}".encode()).decode()
        if self.headers["Authorization"] != wanted:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="videos"')
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif "cut" in self.path and self.path not in self.server.cuts:  # type: ignore[attr-defined]
            self.server.cuts.add(self.path)  # type: ignore[attr-defined]
            content = Path(self.translate_path(self.path)).read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2])
            self.close_connection = True
        else:
            super().do_GET()

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture(scope="module")
def web(media: Path) -> Iterator[str]:
    """A web server over the folder."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Web, directory=str(media)))
    server.cuts = set()  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("name", ["clip.mp4", "clip.m3u8", "clip.mp4?cut=1"])
async def test_a_video_of_a_web_server_comes_whole_also_over_a_connection_that_breaks(web: str, name: str) -> None:
    found = LiveSource(VideoUrlSource, {"url": f"{web}/{name}", "format": "bgr8"}, SECRETS)
    await found.start().ended()
    assert found.last.failure is None and [one.index for one in found.values] == list(range(FRAMES))
    steps = [round((b - a) / 1e6) for a, b in zip(found.times, found.times[1:], strict=False)]
    assert set(steps) == {1000 // RATE}


def test_a_video_goes_on_at_its_cursor(web: str) -> None:
    source = bound(VideoUrlSource, {"url": f"{web}/clip.mp4", "every": 5, "height": 30}, SECRETS)
    rest = list(source.read(7, Context("video", {}, {}, {})))
    assert [(one.value.index, one.value.image.width, one.cursor) for one in rest] == [(10, 40, 11), (15, 40, 16)]


def test_what_a_web_server_does_not_have_or_give_is_told(web: str) -> None:
    with pytest.raises(RejectedError, match=r"refuses: .*401"):
        bound(VideoUrlSource, {"url": f"{web}/clip.mp4"}, {"user": "viewer", "password": "other word"}).probe()
    with pytest.raises(RejectedError, match=r"refuses: .*404"):
        list(bound(VideoUrlSource, {"url": f"{web}/none.mp4"}, SECRETS).read(None, Context("video", {}, {}, {})))
    with pytest.raises(RecordError, match=r"frame 0: .*Invalid data"):
        list(bound(VideoUrlSource, {"url": f"{web}/log"}, SECRETS).read(None, Context("video", {}, {}, {})))
    with pytest.raises(ValueError, match="user and password are secrets"):
        bound(VideoUrlSource, {"url": "http://viewer:word@host/clip.mp4"})
