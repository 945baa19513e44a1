"""orthanc-proxy: a DICOM Application Entity in front of an Orthanc.

Orthanc says what exists. The proxy says it in DIMSE. The cache only holds bytes of what Orthanc just named.

The floors, from the ground up; imports go down only (`[tool.importlinter]` in pyproject.toml holds them):

    dicom/ config/ access errors events   what the Standard, the settings and the rules say; no I/O
    orthanc/ cache/ spool/ wire/ tls      one door per outside thing: REST, disk, DICOM network
    services/ workers/                    one file per DIMSE service / per background thread
    scp/ admin/                           the faces: DICOM in, HTTP in
    worker supervisor demo/ cli/          the roof: processes and commands

The straight lines, in files a reader opens:

    C-FIND    wire/acceptor -> scp/association -> services/find -> orthanc/client
    C-GET     wire/acceptor -> scp/association -> services/get -> services/retrieve -> cache/instances
    C-MOVE    wire/acceptor -> scp/association -> services/move -> services/retrieve + wire/requestor
              or, done by Orthanc, services/delegate
    C-STORE   wire/acceptor -> scp/association -> services/store -> spool -> (later) workers/forwarder

Seven invariants, each with tests that name it:

1. Orthanc decides what exists: a retrieve always locates first; the cache key holds Orthanc's FileUuid.
2. One request, one final response, or an A-ABORT.
3. Bytes pass unchanged unless the receiver cannot take the stored transfer syntax.
4. C-STORE success means durable: synced in the spool, or 200 from Orthanc.
5. A failure of cache or metrics is never visible on the wire: it costs time, not correctness.
6. No patient data in logs above DEBUG or in metric labels.
7. Everything is bounded, and each bound is a setting.
"""

__version__ = "0.1.0"
