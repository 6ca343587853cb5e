"""The soak: hours of load and random faults, to see whether anything grows or gets lost."""
