"""Commands as a user calls them."""

from typing import Any

from typer.testing import CliRunner, Result

from proxy.cli import app


def run(*arguments: str, **options: Any) -> Result:
    """Call it with the words behind `orthanc-proxy`."""
    return CliRunner().invoke(app, list(arguments), **options)
