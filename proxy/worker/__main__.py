"""`python -m proxy.worker`: started by the supervisor, never by hand."""

import argparse
import sys

from proxy.worker.process import run


def main() -> int:
    """Read the descriptors that the supervisor hands down."""
    parser = argparse.ArgumentParser(prog="orthanc-proxy worker")
    parser.add_argument("--number", type=int, required=True)
    parser.add_argument("--control-fd", type=int, required=True)
    parser.add_argument("--occupancy-fd", type=int, required=True)
    parser.add_argument("--plain-fd", type=int)
    parser.add_argument("--tls-fd", type=int)
    given = parser.parse_args()
    return run(given.number, given.control_fd, given.occupancy_fd, given.plain_fd, given.tls_fd)


if __name__ == "__main__":
    sys.exit(main())
