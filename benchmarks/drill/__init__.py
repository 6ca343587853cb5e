"""What users notice when a part dies: ``python -m benchmarks.drill`` kills each in turn, under load."""
