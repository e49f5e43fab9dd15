"""The search for settings: ranges, budgets, what is tried, what is chosen."""
