import base64
import hashlib
import time

import pytest
from pydantic import SecretStr
from starlette.testclient import TestClient

from proxy.admin.board import Board
from proxy.admin.facts import Facts
from proxy.admin.gauges import StateCollector
from proxy.admin.server import application
from proxy.config.admin import AdminSettings, User
from proxy.metrics import MetricsSubscriber
from tests.fakes.controls import FakeControls

TOKEN = "t0ken-of-the-robot"
# of "secret", by a scrypt that costs next to nothing
HASH = (
    "scrypt$2$8$1$c2FsdA==$"
    + base64.b64encode(hashlib.scrypt(b"secret", salt=b"salt", n=2, r=8, p=1, dklen=32)).decode()
)


class Site:
    """An admin server without a socket: `client()` gives one more visitor, from loopback unless told otherwise."""

    def __init__(self):
        self.settings = AdminSettings(
            users={
                "anna": User(password_hash=SecretStr(HASH)),
                "ada": User(password_hash=SecretStr(HASH), role="admin"),
                "viktor": User(password_hash=SecretStr(HASH), role="viewer"),
            },
            tokens={"robot": SecretStr(TOKEN), "empty": SecretStr("")},
        )
        self.controls = FakeControls()
        self.now = 1000.0
        self.board = Board(time.time())
        self.metrics = MetricsSubscriber()
        self.metrics.registry.register(StateCollector(self.controls))
        facts = Facts(self.board, self.controls)
        self.app = application(lambda: self.settings, facts, self.metrics, lambda: self.now)

    def change(self, **settings):
        self.settings = self.settings.model_copy(update=settings)

    def client(self, address="127.0.0.1", host="127.0.0.1:9090", **more):
        return TestClient(self.app, base_url=f"http://{host}", client=(address, 50000), follow_redirects=False, **more)

    def logged_in(self, name="anna", password="secret", **more):
        client = self.client(**more)
        answer = client.post("/login", data={"name": name, "password": password})
        assert answer.status_code == 303, answer.text
        return client

    def csrf(self, client):
        from proxy.admin.sessions import COOKIE

        page = client.get("/").text
        assert COOKIE in client.cookies
        return page.split('name="csrf" value="')[1].split('"')[0]


@pytest.fixture
def site():
    return Site()


@pytest.fixture
def token():
    return {"Authorization": f"Bearer {TOKEN}"}
