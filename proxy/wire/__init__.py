"""The fast wire: a DICOM upper layer and DIMSE exchange of our own, acceptor and requestor.

    FastServer(listeners, application, listener, limits, *, shared=False)   start(), live, drain(timeout), stop()
    open_receiver(address, *, calling_aet, called_aet, contexts, originator, limits, tls=None, max_pdu=16384)
    echo(address, *, calling_aet, called_aet, timeout, tls=None), event_report(...)

`listeners` is a sequence of (bound listening socket, TLS context or None); with `shared` several processes accept
from the same sockets. The first two have the signatures of their twins in `proxy.scp.stock`.

From the ground up:

    pdu, items, request, accept, command   bytes <-> meaning, pure
    ending                                 how an association ends
    transport                              one socket: deadlines, vectored writes, TLS
    channel                                DIMSE messages in and out, every check and bound
    receiver, responses                    C-STORE sub-operations; how responses are batched
    association                            serves one accepted association
    arrival, departures, front_door        connections before and after their association, in one thread
    server, requestor, scu                 what the rest of the program uses

One thread pumps one buffered socket. pynetdicom is not used here: nothing of its internals can break this.
"""

from proxy.wire.requestor import Rejected, open_receiver
from proxy.wire.scu import echo, event_report
from proxy.wire.server import FastServer

__all__ = ["FastServer", "Rejected", "echo", "event_report", "open_receiver"]
