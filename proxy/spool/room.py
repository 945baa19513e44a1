"""Is there room for one more step of an instance? Pure."""

from proxy.config import SpoolSettings


def lack_of_room(settings: SpoolSettings, *, used: int, count: int, free: int, wanted: int) -> str:
    """Why there is no room for `wanted` more bytes, as Error Comment; "" = there is.

    `used`: bytes spooled or promised; `free`: bytes free on the disk and not promised; `count`: instances.
    """
    if used + wanted > settings.max_bytes:
        return "the spool is full"
    if free - wanted < settings.min_free_bytes:
        return "the disk of the spool is nearly full"
    if count > settings.max_instances:
        return "the spool holds too many instances"
    return ""
