"""`orthanc-proxy hash-password`."""

from proxy.admin.passwords import verify_password
from tests.unit.cli.calling import run


def test_it_prints_what_the_login_accepts_and_not_the_password() -> None:
    told = run("hash-password", input="geheim\n")
    assert told.exit_code == 0
    assert verify_password("geheim", told.stdout.strip())
    assert "geheim" not in told.output


def test_it_wants_a_password() -> None:
    assert run("hash-password", input="").exit_code == 1
