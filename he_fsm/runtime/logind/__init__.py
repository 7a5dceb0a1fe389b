"""The host's orderly shutdown and suspend, as systemd-logind announces and delays them."""
