"""What `proxy/` uses of pynetdicom, and of it what is beyond its documentation: a version without it fails here.

The stock wire hooks into pynetdicom's upper layer; nothing says that the next version has these hooks.
"""

import ast
import importlib
import inspect
import socket
import threading
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet
from pynetdicom import AE, _config
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import SOPClassExtendedNegotiation, UserIdentityNegotiation
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.transport import AssociationSocket, ThreadedAssociationServer

import proxy

TESTED = SpecifierSet(">=3.0.4,<3.1")
"""The versions of pynetdicom that the stock wire has been tested with; pyproject.toml allows the same."""

# What is used beyond the user guide and the reference of AE, Association and events. A name with parentheses is
# called with these parameters, or is called with them by pynetdicom where we put something in its place.
CONTRACT: Mapping[str, tuple[str, ...]] = {
    "Association": (
        "_accepted_cx",
        "_is_paused",
        "_reactor_checkpoint",
        "_rejected_cx",
        "_serve_request(msg, context_id)",
        "abort(block)",
        "acceptor",
        "acse",
        "dimse",
        "dul",
        "is_established",
        "is_rejected",
        "kill()",
        "requestor",
    ),
    "ACSE": (
        "_negotiate_as_acceptor()",
        "is_aborted(abort_type)",
        "send_accept()",
        "send_reject(result, source, diagnostic)",
    ),
    "DULServiceProvider": ("is_alive()", "kill_dul()", "socket"),
    "AssociationSocket": ("socket",),
    "DIMSEServiceProvider": ("cancel_req", "get_msg(block)", "send_msg(primitive, context_id)"),
    "ServiceUser": (
        "add_negotiation_item(item)",
        "address",
        "implementation_class_uid",
        "implementation_version_name",
        "maximum_length",
        "port",
        "primitive",
        "role_selection",
        "sop_class_extended",
        "user_identity",
    ),
    "PresentationContext": ("_as_scp", "_as_scu", "abstract_syntax", "context_id", "result", "transfer_syntax"),
    "AE": ("_servers", "make_server(address, contexts, ssl_context, evt_handlers, server_class)"),
    "ThreadedAssociationServer": (
        "active_associations",
        "server_activate()",
        "server_bind()",
        "server_close()",
        "shutdown()",
        "socket",
    ),
    "UserIdentityNegotiation": (
        "positive_response_requested",
        "primary_field",
        "secondary_field",
        "server_response",
        "user_identity_type",
    ),
    "SOPClassExtendedNegotiation": ("service_class_application_information", "sop_class_uid"),
    "_config": ("LOG_HANDLER_LEVEL", "LOG_REQUEST_IDENTIFIERS", "LOG_RESPONSE_IDENTIFIERS"),
}

# What we put something in the place of, and who must call it then.
HOOKS = (
    (Association._run_reactor, "_serve_request"),
    (type(Association(AE(), "acceptor").acse).negotiate_association, "_negotiate_as_acceptor"),
    (ThreadedAssociationServer.__init__, "server_bind"),
)


@pytest.fixture(scope="module")
def owners() -> Iterator[Mapping[str, object]]:
    """An object of each class, as it is when we get to see it."""
    entity = AE()
    association, unconnected = Association(entity, "acceptor"), socket.socket()
    server = entity.make_server(("127.0.0.1", 0), contexts=[build_context("1.2.840.10008.1.1")])
    yield {
        "Association": association,
        "ACSE": association.acse,
        "DULServiceProvider": association.dul,
        "AssociationSocket": AssociationSocket(association, client_socket=unconnected),
        "DIMSEServiceProvider": association.dimse,
        "ServiceUser": association.requestor,
        "PresentationContext": PresentationContext(),
        "AE": entity,
        "ThreadedAssociationServer": server,
        "UserIdentityNegotiation": UserIdentityNegotiation(),
        "SOPClassExtendedNegotiation": SOPClassExtendedNegotiation(),
        "_config": _config,
    }
    server.server_close()
    unconnected.close()


def _lacking(owner: str, what: str) -> str:
    return f"pynetdicom {version('pynetdicom')} lacks {owner}{what}, which proxy/ uses; tested are versions {TESTED}"


def test_the_installed_version_is_one_that_was_tested() -> None:
    installed = version("pynetdicom")
    assert installed in TESTED, (
        f"pynetdicom {installed} was never tested with the stock wire ({TESTED}): run the tests, then widen TESTED"
    )


def test_no_other_version_can_be_installed() -> None:
    project = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    assert f'"pynetdicom{",".join(sorted(map(str, TESTED), reverse=True))}"' in project


@pytest.mark.parametrize(("owner", "name"), [(owner, name) for owner, names in CONTRACT.items() for name in names])
def test_what_is_used_is_there(owner: str, name: str, owners: Mapping[str, object]) -> None:
    name, _, parameters = name.rstrip(")").partition("(")
    found = inspect.getattr_static(owners[owner], name, _MISSING)  # a property may want a connection
    assert found is not _MISSING, _lacking(owner, f".{name}")
    if parameters:
        assert callable(found), _lacking(owner, f".{name}()")
        known = list(inspect.signature(found).parameters)
        missing = [wanted for wanted in parameters.split(", ") if wanted not in known]
        assert not missing, _lacking(owner, f".{name}({', '.join(missing)}); it has ({', '.join(known)})")


_MISSING = object()


@pytest.mark.parametrize(("caller", "hook"), HOOKS, ids=[hook for _, hook in HOOKS])
def test_what_is_put_in_place_of_a_method_is_called(caller: object, hook: str) -> None:
    named = {name for cls in _bases(caller) for name in cls.__code__.co_names}  # type: ignore[attr-defined]
    assert hook in named, f"pynetdicom {version('pynetdicom')} no longer calls {hook} where the stock wire needs it"


def _bases(caller: object) -> Iterator[object]:
    """The function, and for a constructor those that it may call."""
    yield caller
    if getattr(caller, "__name__", "") == "__init__":
        yield from (base.__init__ for base in ThreadedAssociationServer.__mro__ if hasattr(base.__init__, "__code__"))


def test_what_is_used_is_of_the_kind_that_it_is_used_as(owners: Mapping[str, object]) -> None:
    association = owners["Association"]
    assert isinstance(association, threading.Thread)
    assert isinstance(association._reactor_checkpoint, threading.Event)
    assert isinstance(association._is_paused, bool)
    assert isinstance(association._accepted_cx, dict)
    assert isinstance(association._rejected_cx, list)
    assert association.dimse.cancel_req == {}
    assert association.dul.socket is None or hasattr(association.dul.socket, "socket")
    assert isinstance(owners["AE"]._servers, list)  # type: ignore[attr-defined]


# ------------------------------------------------------------------ is the list complete?


def _sources() -> Iterator[tuple[Path, ast.Module]]:
    """The modules of `proxy/` that import pynetdicom."""
    for path in sorted(Path(proxy.__file__).parent.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if "pynetdicom" in text:
            tree = ast.parse(text)
            if list(_imported(tree)):
                yield path, tree


def _imported(tree: ast.Module) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "pynetdicom":
            yield from ((str(node.module), alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names if alias.name.split(".")[0] == "pynetdicom")


def test_all_that_is_imported_is_there() -> None:
    for path, tree in _sources():
        for module, name in _imported(tree):
            found = importlib.import_module(module)
            assert not name or hasattr(found, name), f"{path.name}: {_lacking(module, f'.{name}')}"


def test_the_fast_wire_uses_none_of_it() -> None:
    names = {path.relative_to(Path(proxy.__file__).parent).parts[0] for path, _ in _sources()}
    assert names <= {"scp", "demo", "dicom", "conformance", "doctor"}


def test_no_private_name_is_used_that_is_not_in_the_list() -> None:
    listed = {name.partition("(")[0] for names in CONTRACT.values() for name in names}
    for path, tree in _sources():
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
                ours = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
                assert ours or node.attr in listed, f"{path.name}:{node.lineno}: {node.attr} is not in CONTRACT"
