"""Long and rough: kills, hours, crowds."""
