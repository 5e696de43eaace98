from orchestrator_parts import api, bench, server, settings

__all__ = ["api", "bench", "server", "settings"]
