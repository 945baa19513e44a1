"""What the supervisor's crew starts in these tests instead of a worker: says what it hears, and dies when told so."""

import os
import sys
from multiprocessing.connection import Connection

from proxy.events import AssociationOpened, Trouble


def main() -> None:
    given = dict(argument.removeprefix("--").split("=") for argument in sys.argv[1:] if "=" in argument)
    pipe = Connection(int(given["control-fd"]))
    kind, _settings = pipe.recv()
    assert kind == "settings"
    if os.environ.get("FAKE_WORKER") == "stillborn":
        os._exit(3)
    pipe.send(("ready", None))
    while True:
        kind, payload = pipe.recv()
        if kind == "drain":
            os._exit(0)
        if payload == "die":
            os._exit(9)
        if payload == "open":
            opened = AssociationOpened(
                association_id=f"a{given['number']}", label="WS->PROXY", calling_aet="WS", called_aet="PROXY",
                address="10.0.0.1", pipeline="main",
            )  # fmt: skip
            pipe.send(("events", [opened]))
        else:
            told = f"{given['number']}: {kind} {payload}"
            pipe.send(("events", [Trouble(where="test", what=told)]))


main()
