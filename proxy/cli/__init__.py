"""The command line: `orthanc-proxy COMMAND`; one file per command or group, listed here in the order of the help."""

import typer

from proxy.cli import version

app = typer.Typer(
    name="orthanc-proxy",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,  # locals hold passwords
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def orthanc_proxy() -> None:
    """A DICOM Application Entity in front of an Orthanc."""


app.command("version")(version.version)


def main() -> None:
    """The console script."""
    app()
