"""
The status as metrics for Prometheus (`families`), and the page that serves them (`page`).

Only `families` imports Prometheus' library: a host whose metrics nobody reads does without it.
"""
