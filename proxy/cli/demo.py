"""`orthanc-proxy demo`."""

from pathlib import Path
from typing import Annotated

import typer


def demo(
    once: Annotated[bool, typer.Option("--once", help="End after the self-check, with its exit status")] = False,
    keep: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Work in DIR and leave it there; default: a temporary folder")
    ] = None,
) -> None:
    """Start an Orthanc with samples and the proxy before it, check both, and stay for trying out."""
    from rich.console import Console  # here, so that the short commands need not load what the demo needs

    from proxy.demo.run import run_demo

    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        keep = keep.absolute()
    raise typer.Exit(run_demo(once=once, keep=keep, console=Console()))
