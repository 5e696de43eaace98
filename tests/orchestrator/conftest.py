from orchestrator_parts import api, bench, server, settings, two_models

__all__ = ["api", "bench", "server", "settings", "two_models"]
