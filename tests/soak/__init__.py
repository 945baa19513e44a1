"""Load that lasts: many clients at once for as long as wanted, and associations without end. See `__main__`."""
