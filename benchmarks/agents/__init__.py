"""What the way by agents costs, and whether it keeps its bounds."""
