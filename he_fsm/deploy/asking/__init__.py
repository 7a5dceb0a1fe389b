"""Questions of a deployment and their answers, as values: nothing here opens or asks anything."""
