"""What is looked at before anything is opened: folders and certificates that the settings name."""

from collections.abc import Callable, Iterator
from functools import partial

from proxy.config import Settings
from proxy.config.folders import unwritable
from proxy.errors import ConfigError
from proxy.tls import destination_context, listener_context


def preflight(settings: Settings) -> None:
    """Raises ConfigError with all that is wrong."""
    complaints = [*unwritable(settings), *bad_certificates(settings)]
    if complaints:
        raise ConfigError(complaints)


def bad_certificates(settings: Settings) -> Iterator[str]:
    """What is wrong with certificates and keys, as far as the files can tell."""
    contexts: list[Callable[[], object]] = [partial(listener_context, settings.listener.tls)]
    contexts += [partial(destination_context, name, one) for name, one in settings.destinations.items()]
    for context in contexts:
        try:
            context()
        except ConfigError as error:
            yield from error.complaints
