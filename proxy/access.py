"""Who may do what: pure decisions from rules, Orthanc's table of modalities and what a requestor tells of itself.

Every verdict names the rule it comes from, so that a refusal can say which line of the configuration to change.

* `open`: everybody may use all services of the pipeline.
* `list`: the first rule of [[pipelines.NAME.rules]] that matches decides; without one there is no admittance.
* `orthanc`: as Orthanc itself decides: `always_allow` for everybody, else what its DicomModalities grant to the
  calling AE title (and, where it checks hosts, address).

AE titles are compared without regard to case, as Orthanc does unless StrictAetComparison is set.
"""

import hmac
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import Protocol

from proxy.config import AccessRule, Pipeline, Settings
from proxy.dicom.messages import Offer, Peer, Refusal, UserIdentity
from proxy.errors import AccessDenied

SERVICE_USER, REJECTED_PERMANENT = 1, 1
NO_REASON, CALLING_AET_NOT_RECOGNIZED, CALLED_AET_NOT_RECOGNIZED = 1, 3, 7


class KnownModality(Protocol):
    """One entry of Orthanc's DicomModalities; `services` are those that its Allow... flags grant."""

    @property
    def aet(self) -> str:
        """Its AE title."""

    @property
    def host(self) -> str:
        """Its host, as written there."""

    @property
    def services(self) -> Collection[str]:
        """Names as in [pipelines.NAME] services."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What one requestor may do; `rule` names where that is written."""

    rule: str
    services: frozenset[str]
    destinations: tuple[str, ...] = ()
    identity_checked: bool = False

    def check_service(self, service: str) -> None:
        """Raises AccessDenied where `service` is not granted."""
        if service not in self.services:
            raise AccessDenied(f"{service} is not granted by {self.rule}")

    def check_destination(self, aet: str) -> None:
        """Raises AccessDenied where the Move Destination is not allowed."""
        if not _any_like(self.destinations, aet):
            raise AccessDenied(f"this Move Destination is not allowed by {self.rule}")


def decide(name: str, pipeline: Pipeline, offer: Offer, modalities: Collection[KnownModality]) -> Grant | Refusal:
    """What the sender of `offer` may do in pipeline `name`, or why it may not even associate."""
    offered = frozenset[str](pipeline.services)
    if pipeline.access == "open":
        return Grant(f"pipeline {name} (access = open)", offered)
    if pipeline.access == "list":
        return _decide_by_rules(name, pipeline.rules, offer, offered)
    granted = offered & _granted_by_orthanc(pipeline, offer, modalities)
    if granted:
        return Grant(f"Orthanc's modalities (pipeline {name})", granted)
    why = f"no DicomModalities entry of Orthanc allows {offer.calling_aet!r} from {offer.peer.address} anything"
    return _refusal(CALLING_AET_NOT_RECOGNIZED, f"{why}; add one, or set [pipelines.{name}.always_allow]")


def _decide_by_rules(name: str, rules: Iterable[AccessRule], offer: Offer, offered: frozenset[str]) -> Grant | Refusal:
    known_title = False
    for number, rule in enumerate(rules, start=1):
        if not _any_like(rule.calling_aet, offer.calling_aet):
            continue
        known_title = True
        if not _address_fits(rule.address, offer.peer.address) or not _identity_fits(rule, offer.user_identity):
            continue
        title = f"rule {rule.name or number}"
        services = offered if rule.services is None else offered & frozenset(rule.services)
        if services:
            return Grant(title, services, tuple(rule.destinations), bool(rule.username))
        return _refusal(NO_REASON, f"{title} of pipeline {name} grants no service to {offer.calling_aet!r}")
    where = f"to {offer.calling_aet!r} from {offer.peer.address}; add a [[pipelines.{name}.rules]] entry"
    if known_title:
        return _refusal(
            NO_REASON, f"no rule of pipeline {name} fits address and user identity, nothing granted {where}"
        )
    return _refusal(CALLING_AET_NOT_RECOGNIZED, f"no rule of pipeline {name} grants anything {where}")


def _granted_by_orthanc(pipeline: Pipeline, offer: Offer, modalities: Collection[KnownModality]) -> frozenset[str]:
    """As Orthanc's IsAllowedRequest: of several entries with one title that of the same host counts, else all must."""
    always = pipeline.always_allow
    granted = {name for name in ("echo", "find", "get", "move", "store") if getattr(always, name)}
    same_title = [entry for entry in modalities if same_aet(entry.aet, offer.calling_aet)]
    same_host = [entry for entry in same_title if _same_host(entry.host, offer.peer.address)]
    for service in set(pipeline.services) - granted:
        here = any(service in entry.services for entry in same_host)
        anywhere = bool(same_title) and all(service in entry.services for entry in same_title)
        if here or (anywhere and not always.check_modality_host):
            granted.add(service)
    return frozenset(granted)


def open_to_the_network(settings: Settings) -> list[str]:
    """A warning for each pipeline that lets in whoever reaches the port, where that is not this machine alone."""
    listener = settings.listener
    checked = listener.tls.client_certificate == "required" and listener.tls.certificate is not None
    if _is_loopback(listener.bind_address) or (checked and listener.tls.bind_port is None):
        return []
    return [
        f'pipeline {name} has access = "open" on {listener.bind_address}: whoever reaches the port may use '
        f'{", ".join(pipeline.services)}; set [pipelines.{name}] access to "list" or "orthanc"'
        for name, pipeline in settings.pipelines.items()
        if pipeline.access == "open"
    ]


def _is_loopback(address: str) -> bool:
    try:
        return address == "localhost" or ip_address(address).is_loopback
    except ValueError:
        return False


def unknown_called_aet(called_aet: str) -> Refusal:
    """The refusal of a called AE title that no pipeline has; it says how to allow it."""
    why = f'no pipeline has aet = "{called_aet}"; add one, or set [listener] check_called_aet = false'
    return _refusal(CALLED_AET_NOT_RECOGNIZED, why)


def pinned_elsewhere(pins: Mapping[str, list[str]], calling_aet: str, peer: Peer) -> Refusal | None:
    """The refusal where [listener.tls] pins bind this calling AE title to another certificate, or to none at all."""
    wanted = [names for title, names in pins.items() if same_aet(title, calling_aet)]
    fingerprint = peer.certificate_sha256.replace(":", "").lower()
    shown = {peer.certificate_name, fingerprint} - {""}
    fits = any(pin in shown or pin.replace(":", "").lower() in shown for names in wanted for pin in names)
    if fits or not wanted:
        return None
    presented = peer.certificate_name or "none"
    return _refusal(NO_REASON, f"[listener.tls] pins {calling_aet!r} to another certificate; it presents {presented!r}")


def same_aet(one: str, other: str) -> bool:
    """True where both are the same AE title; spaces around it and case do not count."""
    return one.strip().lower() == other.strip().lower()


def _refusal(reason: int, why: str) -> Refusal:
    return Refusal(REJECTED_PERMANENT, SERVICE_USER, reason, why)


def _any_like(patterns: Collection[str], title: str) -> bool:
    """True where one of the AE title patterns fits, or there is none."""
    return not patterns or any(_pattern(pattern).fullmatch(title.strip()) for pattern in patterns)


@lru_cache(maxsize=4096)
def _pattern(pattern: str) -> re.Pattern[str]:
    """`*` and `?` as a regular expression; nothing else is special (unlike in fnmatch)."""
    literal = re.escape(pattern.strip()).replace(r"\*", ".*").replace(r"\?", ".")
    return re.compile(literal, re.IGNORECASE)


def _address_fits(networks: Collection[str], address: str) -> bool:
    if not networks:
        return True
    try:
        ours = _plain(address)
        return any(ours in ip_network(network, strict=False) for network in networks)
    except ValueError:
        return False


def _same_host(host: str, address: str) -> bool:
    """Orthanc compares the strings; the same address in other words is the same, too. Names are not resolved."""
    try:
        return host == address or _plain(host) == _plain(address)
    except ValueError:
        return False


def _plain(address: str) -> object:
    """The address; an IPv4 one that a dual-stack listener wraps into IPv6 comes unwrapped."""
    parsed = ip_address(address.partition("%")[0])
    mapped = getattr(parsed, "ipv4_mapped", None)
    return mapped if mapped is not None else parsed


def _identity_fits(rule: AccessRule, identity: UserIdentity | None) -> bool:
    """True where the rule asks for no user, or for this one (PS3.7 D.3.3.7, kinds 1 and 2)."""
    if not rule.username:
        return True
    if identity is None or identity.kind not in (1, 2):
        return False
    passcode = rule.passcode.get_secret_value()
    right_user = hmac.compare_digest(identity.primary, rule.username.encode())
    right_code = not passcode or (identity.kind == 2 and hmac.compare_digest(identity.secondary, passcode.encode()))
    return right_user and right_code
