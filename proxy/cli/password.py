"""`orthanc-proxy hash-password`."""

import sys

import typer

from proxy.cli.options import fail


def hash_password() -> None:
    """Ask for a password (or read it from standard input) and print what goes into password_hash."""
    from proxy.admin.passwords import hash_password as hashed  # here: the admin server is not needed elsewhere

    if sys.stdin.isatty():
        password = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    if not password:
        fail("no password given")
    typer.echo(hashed(password))
