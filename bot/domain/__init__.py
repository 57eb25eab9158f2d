"""Pure: what a reload is, its rules, and what can go wrong."""
