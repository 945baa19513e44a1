"""What an administrator can do, by the words that say what is wrong; "" where there is nothing to say."""

from proxy.admin import advice

_DESTINATION = (  # what is in the words of `proxy.echo` -> what helps; {} is where the destination is written
    ("connection refused", "Start it, or correct host and port in {}."),
    ("no answer from", "Correct host and port in {}, or let its firewall pass connections from this machine."),
    ("unknown host", "Correct the host in {}, or the name service of this machine."),
    ("does not know our AE title", "Make our AE title known there, or set calling_aet in {} to one that it knows."),
    ("is not called", "Correct the AE title in {}: it has another one."),
    ("does not do Verification", "It may take images all the same; try a C-MOVE to it."),
    ("certificate", "Compare host, ca and certificate in {} with the certificate that it shows."),
    ("TLS", "Compare tls and port in {} with what it speaks on that port."),
    ("congested", "Try again later; it has too much to do."),
    ("too many associations", "Try again later, or raise its limit of associations."),
)
_FOLDERS = (
    ("is not a folder", "Set {} to a folder."),
    ("mounted read-only", "Mount it for writing, or set {} to a folder elsewhere."),
    ("may not write", "Give the folder to the user of the service (chown), or set {} to a folder elsewhere."),
)


def for_backend(name: str, words: str) -> str:
    """About an Orthanc that is not available."""
    return (
        advice.for_backend(name, words) or f"Look into Orthanc's log, and compare [backends.{name}] with its settings."
    )


def for_destination(where: str, words: str) -> str:
    """About an AE that does not answer a C-ECHO; `where` its address is written."""
    found = next(
        (remedy for sign, remedy in _DESTINATION if sign in words), "Look into its log, and compare it with {}."
    )
    return found.format(where)


def for_folder(complaint: str) -> str:
    """About a folder that cannot be used; the complaint begins with its key."""
    key = complaint.partition(":")[0]
    return next((remedy.format(key) for sign, remedy in _FOLDERS if sign in complaint), "")


def for_status(command: str, status: int) -> str:
    """About a DIMSE status that we answered."""
    return advice.for_status(command, status)
