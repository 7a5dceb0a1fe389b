"""One cluster that is shown: what is known of it, what has changed, and what it was before."""
