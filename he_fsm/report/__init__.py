"""What runs showed: outcomes, events, pages to look at."""
