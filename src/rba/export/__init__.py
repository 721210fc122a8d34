"""A run's spoken instructions and preference pairs in the formats of other toolkits."""
