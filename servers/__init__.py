"""Real servers for tests and benchmarks, each a process that is ended by its id. Imports neither of the two."""
