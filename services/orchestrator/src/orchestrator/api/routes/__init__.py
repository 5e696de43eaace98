"""The HTTP API's calls, one module per subject. Each call is a few lines that use the service."""
