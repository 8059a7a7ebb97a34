"""A stand-in for the Kubernetes API server: it checks what it is given by Kubernetes' schemas, and keeps it. It runs no pod."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import kubernetes_validate

VERSION = "1.33"


class ApiServer:
    """Objects by path; `terminating` StatefulSets are listed until `reap`, as those whose pods still run are."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.terminating: set[str] = set()
        self.calls: list[tuple[str, str]] = []
        self.refusal: int | None = None
        self.token = "first"

    def patch(self, path: str, body: bytes, query: dict[str, list[str]]) -> dict[str, Any]:
        """A server-side apply."""
        assert query["fieldManager"] == ["thalweg"]
        given: dict[str, Any] = json.loads(body)
        kubernetes_validate.validate(given, VERSION, strict=True)
        assert path.rpartition("/")[2] == given["metadata"]["name"]
        given["metadata"]["uid"] = self.objects.get(path, {"metadata": {"uid": str(uuid.uuid4())}})["metadata"]["uid"]
        self.objects[path] = given
        return given

    def get(self, path: str, query: dict[str, list[str]]) -> dict[str, Any]:
        """A list by labels, two a page."""
        found = self.selected(path, query)
        start = int(query.get("continue", ["0"])[0])
        metadata = {"continue": str(start + 2)} if start + 2 < len(found) else {}
        return {"items": [self.objects[one] for one in found[start : start + 2]], "metadata": metadata}

    def delete(self, path: str, body: bytes, query: dict[str, list[str]]) -> dict[str, Any] | None:
        """Of one object, or of those that labels select, and of what they own."""
        assert json.loads(body)["propagationPolicy"] == "Foreground"
        wanted = self.selected(path, query) if "labelSelector" in query else [path]
        if "labelSelector" not in query and path not in self.objects:
            return None
        for one in wanted:
            gone = self.objects[one]["metadata"]["uid"]
            owned = [key for key, value in self.objects.items() if gone in _owners(value)]
            for key in (one, *owned):
                if "/statefulsets/" in key:
                    self.terminating.add(key)
                else:
                    self.objects.pop(key, None)
        return {"kind": "Status", "status": "Success"}

    def reap(self) -> None:
        """The pods have ended."""
        for path in self.terminating:
            self.objects.pop(path, None)
        self.terminating.clear()

    def add_pod(self, prefix: str, container: dict[str, Any] | None) -> None:
        """A pod of the StatefulSet whose name begins so, as the controller makes it; None before its container has a status."""
        (one,) = (found for found in self.of_kind("StatefulSet") if found["metadata"]["name"].startswith(prefix))
        named = {"name": "vertex", "image": "thalweg:1", "imageID": "", "ready": False}
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {**one["spec"]["template"]["metadata"], "name": f"{one['metadata']['name']}-0"},
            "spec": one["spec"]["template"]["spec"],
            "status": {"phase": "Pending"}
            if container is None
            else {"phase": "Running", "containerStatuses": [named | {"name": "sidecar", "restartCount": 99}, named | container]},
        }
        kubernetes_validate.validate(pod, VERSION, strict=True)
        self.objects[f"/api/v1/namespaces/{one['metadata']['namespace']}/pods/{pod['metadata']['name']}"] = pod

    def selected(self, path: str, query: dict[str, list[str]]) -> list[str]:
        """Paths below one, by labels."""
        labels = dict(one.split("=") for one in query["labelSelector"][0].split(","))
        below = [key for key in self.objects if key.startswith(f"{path}/")]
        return sorted(key for key in below if labels.items() <= self.objects[key]["metadata"]["labels"].items())

    def of_kind(self, kind: str) -> list[dict[str, Any]]:
        """Objects of a kind."""
        return [one for one in self.objects.values() if one["kind"] == kind]


def _owners(stored: dict[str, Any]) -> list[str]:
    return [one["uid"] for one in stored["metadata"].get("ownerReferences", [])]


@contextmanager
def serving() -> Iterator[tuple[ApiServer, str]]:
    """The stand-in and its URL."""
    server = ApiServer()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            place, body = urlsplit(self.path), self.rfile.read(int(self.headers.get("Content-Length") or 0))
            query = parse_qs(place.query)
            server.calls.append((self.command, place.path))
            code, found = 200, dict[str, Any]()
            if self.headers["Authorization"] != f"Bearer {server.token}":
                code, found = 401, {"message": "Unauthorized"}
            elif server.refusal is not None:
                code, found = server.refusal, {"message": "it is forbidden"}
            elif self.command == "PATCH":
                try:
                    found = server.patch(place.path, body, query)
                except kubernetes_validate.ValidationError as error:
                    code, found = 422, {"message": str(error.message)}
            elif self.command == "DELETE":
                deleted = server.delete(place.path, body, query)
                code, found = (404, {"message": "not found"}) if deleted is None else (200, deleted)
            else:
                found = server.get(place.path, query)
            told = json.dumps(found).encode()
            self.send_response(code)
            self.send_header("Content-Length", str(len(told)))
            self.end_headers()
            self.wfile.write(told)

        do_GET = do_PATCH = do_DELETE = _answer

        def log_message(self, format: str, *args: Any) -> None:
            """Says nothing."""

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server, f"http://127.0.0.1:{http.server_port}"
    finally:
        http.shutdown()
        thread.join()
        http.server_close()
