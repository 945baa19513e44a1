"""Hostile, broken and merely slow behaviours, and what a DICOM port must be like after each of them."""
