"""All attacks, in the order in which they are run."""

from tests.attack import crowds, identifiers, instances, messages, pdus, requests, retrieves

ATTACKS = [
    *pdus.ATTACKS,
    *requests.ATTACKS,
    *messages.ATTACKS,
    *identifiers.ATTACKS,
    *instances.ATTACKS,
    *retrieves.ATTACKS,
    *crowds.ATTACKS,
]
