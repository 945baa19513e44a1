"""Why a port cannot be opened, in words that say what to do."""

import errno


def why_not_opened(error: OSError, address: str, port: int) -> str:
    """The sentence for the error of `bind` or `listen`."""
    match error.errno:
        case errno.EADDRINUSE:
            return f"port {port} on {address} is in use by another program (find it with: ss -ltnp 'sport = :{port}')"
        case errno.EACCES | errno.EPERM:
            return f"no permission to open port {port}; ports below 1024 need root or CAP_NET_BIND_SERVICE"
        case errno.EADDRNOTAVAIL:
            return f"{address} is not an address of this machine"
    return f"cannot listen on {address}:{port}: {error.strerror or error}"
