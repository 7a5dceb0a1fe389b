"""Who may ask the dashboard, from where, and by which sign that a browser means it."""
