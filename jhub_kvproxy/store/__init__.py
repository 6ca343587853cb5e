"""The store that keeps the table: the contract of its drivers, the lease, and the one writer."""
