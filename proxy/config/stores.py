"""Settings of the cache: [cache]."""

from pydantic import Field

from proxy.config.table import Size, Table


class CacheSettings(Table):
    """[cache]: hot instances, below <storage.path>/cache."""

    enabled: bool = Field(True, description="Keep downloaded instances")
    max_bytes: Size = Field(Size(10 << 30), description="Budget; whole series that were not used for long go first")
    min_free_bytes: Size = Field(Size(1 << 30), description="The cache never takes the disk below this")
    verify: bool = Field(True, description="Check the hash of every file that is read back")
