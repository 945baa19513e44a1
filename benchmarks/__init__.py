"""What the proxy's speed is measured with: `python -m benchmarks`, or `make bench`."""
