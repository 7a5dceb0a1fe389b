"""The wire of the vdsm here: protocol detection, STOMP's commands, queues, JSON-RPC."""
