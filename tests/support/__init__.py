"""What the integration tests and benchmarks stand on: real Orthancs, real DCMTK, a running proxy."""
