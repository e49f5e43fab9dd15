"""What tables and figures of a study show."""
