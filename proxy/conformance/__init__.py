"""The DICOM Conformance Statement (PS3.2), made from the settings by asking the functions that are in force.

    contexts, statuses    what is negotiated and answered: facts, found by asking `proxy.dicom`
    statement             all facts together, as plain data; its JSON
    document              the chapters of PS3.2 Annex N, as Markdown
    overview, services, network, security    the text of one chapter or two each
    layout                tables and headings

Pure: no I/O.
"""
