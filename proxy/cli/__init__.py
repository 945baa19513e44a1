"""The command line: `orthanc-proxy COMMAND`; one file per command or group, listed here in the order of the help."""

import typer

from proxy.cli import (
    cache,
    check,
    config,
    conformance,
    demo,
    doctor,
    echo,
    healthcheck,
    init,
    password,
    serve,
    spool,
    support,
    version,
)

app = typer.Typer(
    name="orthanc-proxy",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # they would show passwords among the locals
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def orthanc_proxy() -> None:
    """A DICOM Application Entity in front of an Orthanc."""


app.command("serve")(serve.serve)
app.command("init")(init.init)
app.command("check")(check.check)
app.command("doctor")(doctor.doctor)
app.command("demo")(demo.demo)
app.command("echo")(echo.echo)
app.command("healthcheck")(healthcheck.healthcheck)
app.add_typer(cache.app, name="cache")
app.add_typer(config.app, name="config")
app.add_typer(spool.app, name="spool")
app.command("hash-password")(password.hash_password)
app.command("conformance")(conformance.conformance)
app.command("support-bundle")(support.support_bundle)
app.command("version")(version.version)


def main() -> None:
    """The console script."""
    app()
