"""Routes, the table of them, and its revisions. Pure: no I/O, no event loop."""
