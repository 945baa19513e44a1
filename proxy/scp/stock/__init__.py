"""The stock wire: pynetdicom's own upper layer serving the same application.

It is the reference in differential tests and the way back (`[listener] wire = "stock"`). It is slower, keeps
whole data sets in memory and has none of the bounds of `proxy.wire`; use it to find out where a fault lies.
"""

from proxy.scp.stock.server import StockServer

__all__ = ["StockServer"]
