"""An HTTP server inside the test process that answers what it was given, path by path, and remembers who asked."""

import contextlib
import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Given = tuple[int, Any]
"""An HTTP status, and a JSON value (or bytes, sent as they are)."""


@dataclass
class Answers:
    """`given` maps a path, without its query, to what is answered there; a JSON value alone comes with status 200."""

    port: int
    given: dict[str, Any]
    asked: list[tuple[str, Mapping[str, str]]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def headers(self, path: str) -> Mapping[str, str]:
        """Of the last request for that path."""
        return next(headers for asked, headers in reversed(self.asked) if asked == path)


@contextlib.contextmanager
def answering(given: Mapping[str, Any] | None = None) -> Iterator[Answers]:
    """A server on a port that the kernel chose; what it answers may be changed while it runs."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            answers.asked.append((path, dict(self.headers)))
            known = answers.given.get(path, (404, {"error": "not here"}))
            status, value = known if isinstance(known, tuple) else (200, known)
            body = value if isinstance(value, bytes) else json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Be silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    answers = Answers(server.server_address[1], dict(given or {}))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield answers
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
