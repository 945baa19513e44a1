"""Password hashes of [admin.users]: scrypt (RFC 7914), in the form `scrypt$N$r$p$salt$hash`."""

import base64
import hashlib
import hmac
import secrets

_COST, _BLOCK, _PARALLEL = 1 << 15, 8, 1
_MEMORY = 128 << 20
NOBODY = f"scrypt${_COST}${_BLOCK}${_PARALLEL}${'A' * 22}==${'A' * 43}="
"""A hash of no known password that costs as much as any other: unknown names take as long as known ones."""


def hash_password(password: str, salt: bytes | None = None) -> str:
    """The line for `password_hash`. Takes about 0.1 s and 32 MB, on purpose."""
    salt = salt or secrets.token_bytes(16)
    digest = _digest(password, salt, _COST, _BLOCK, _PARALLEL)
    parts = (base64.b64encode(part).decode() for part in (salt, digest))
    return "$".join(("scrypt", str(_COST), str(_BLOCK), str(_PARALLEL), *parts))


def verify_password(password: str, password_hash: str) -> bool:
    """True when they belong together; a malformed or absurdly expensive hash never does."""
    try:
        kind, cost, block, parallel, salt, digest = password_hash.split("$")
        if kind != "scrypt":
            return False
        expected = base64.b64decode(digest, validate=True)
        actual = _digest(password, base64.b64decode(salt, validate=True), int(cost), int(block), int(parallel))
    except (ValueError, MemoryError):
        return False
    return hmac.compare_digest(expected, actual)


def _digest(password: str, salt: bytes, cost: int, block: int, parallel: int) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=cost, r=block, p=parallel, maxmem=_MEMORY, dklen=32)
