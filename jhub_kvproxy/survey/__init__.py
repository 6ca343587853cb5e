"""What a tool knows of a site without being its hub. It reads, and changes nothing."""
