"""Talking to vdsm, oVirt's daemon on a host: JSON-RPC 2.0 in frames of STOMP 1.2."""
