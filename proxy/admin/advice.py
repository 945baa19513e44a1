"""What an administrator can do about a refusal or a failure, in one sentence; "" where there is nothing to say."""

from proxy.admin.stories import Deed, Story

_STATUS = {
    0x0124: "Grant the service to this calling AE title in the pipeline's rules, or in Orthanc's AllowFind, ...",
    0x0122: "The pipeline does not offer this service: see its `services`.",
    0xA700: "Out of room or Orthanc is away: look at Spool and Orthanc below.",
    0xA701: "Orthanc did not answer while the instances were looked up: look at Orthanc below.",
    0xA801: "Add the destination's AE title under [destinations], or to Orthanc's DicomModalities.",
    0xA900: "The request is not what its SOP class allows: the comment names the attribute; correct the requestor.",
    0xC010: "Orthanc itself refused the call: look at Orthanc below, and into its log.",
    0x0110: "If the comment names an id, look it up in the log.",
}
_BY_COMMAND = {
    ("C-MOVE", 0xA702): "The destination does not let us in: try its echo button below, check its address and port.",
    ("C-GET", 0xA702): "No instance could be sent: the requestor offered no presentation context that fits.",
    ("C-FIND", 0xA700): "Orthanc did not answer the query: look at Orthanc below.",
}
_REJECTION = {
    (1, 3): "Allow this calling AE title in the pipeline's rules, or correct it at the requestor.",
    (1, 7): "Correct the called AE title at the requestor, add a pipeline, or set [listener] check_called_aet = false.",
    (1, 1): "Allow this address in the pipeline's rules.",
    (3, 1): "Shutting down: the requestor may try again later.",
    (3, 2): "Too many at once: raise [limits] associations, or find out who holds them open.",
}
_BACKEND = (  # what is in the words of `proxy.orthanc` -> what helps; {} is the backend's name
    ("credentials", "Correct username and password of [backends.{}], or RegisteredUsers in Orthanc's configuration."),
    ("refuses connections", "Start Orthanc, or correct url of [backends.{}]: its port is Orthanc's HttpPort."),
    ("host name", "Correct the host in url of [backends.{}], or the name service of this machine."),
    ("in time", "Orthanc is overloaded, or a firewall drops what is sent to url of [backends.{}]."),
    ("no Orthanc", "Another program answers there: correct url of [backends.{}]."),
    ("TLS", "Compare url, verify and client_certificate of [backends.{}] with Orthanc's SslEnabled, ..."),
)
_SPOOL = (
    ("disk", "Free disk space, or see [spool] min_free_bytes. What waits is delivered as soon as its target works."),
    ("too many", "Mend the target that it waits for, or raise [spool] max_instances."),
    ("", "Mend the target that it waits for, or raise [spool] max_bytes."),
)
_NO_ASSOCIATION = (
    "No DICOM peer, a port scan, or a load balancer that tests the DICOM port: let it ask /readyz on the admin port."
)
_STATE = {
    "timeout": "The requestor fell silent: a firewall that forgets connections, or [limits] idle_timeout too short.",
    "lost": "The connection broke: the requestor was stopped, or the network failed.",
    "protocol error": "The requestor broke the protocol; the log names the offence.",
}


def for_deed(deed: Deed) -> str:
    """About a failed operation."""
    return for_status(deed.command, deed.status) if deed.bad else ""


def for_status(command: str, status: int) -> str:
    """About a failure status of ours."""
    return _BY_COMMAND.get((command, status)) or _STATUS.get(status, "")


def for_story(story: Story) -> str:
    """About a refused or broken association."""
    if story.state == "refused":
        if not story.result:
            return _NO_ASSOCIATION
        # where the reason names its own remedy, one is enough
        return "" if ";" in story.why else _REJECTION.get((story.source, story.reason), "")
    return _STATE.get(story.state, "")


def for_backend(name: str, words: str) -> str:
    """About an Orthanc that is not available, by the words that say why."""
    return next((remedy.format(name) for sign, remedy in _BACKEND if sign in words), "")


def for_spool(full: str) -> str:
    """About a spool that takes no more, by the words that say why."""
    return next(remedy for sign, remedy in _SPOOL if sign in full)
