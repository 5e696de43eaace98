"""The HTTP API's calls, a module a subject. Each call is a few lines over the service."""
