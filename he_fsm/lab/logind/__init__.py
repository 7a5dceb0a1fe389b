"""A logind for each host of a lab, on a D-Bus of its own: it shuts the host down in order."""
