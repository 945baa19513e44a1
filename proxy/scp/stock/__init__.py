"""The stock wire: pynetdicom's own upper layer serving the same application.

It is the reference in differential tests and the way back (`[listener] wire = "stock"`): use it to find out where a
fault lies, among peers that can be trusted. It is slower, takes two threads for each connection and keeps whole data
sets in memory. Of [limits] it holds what the application and the services judge (associations, contexts, nesting,
lists, results, sub-operations), and `request_timeout`, `idle_timeout` and `response_timeout`; `identifier` and
`instance` once all has come. What pynetdicom does with the bytes before that is beyond us: it believes the length
of a PDU, waits without end for the rest of one or for a peer to read, shakes hands over TLS with one after the
other, gives malformed requests no answer, does not tell of connections that never became an association, and forgets a
C-CANCEL that comes before its request has begun.
"""

from proxy.scp.stock.server import StockServer

__all__ = ["StockServer"]
