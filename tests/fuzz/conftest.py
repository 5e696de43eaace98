from orchestrator_parts import bench, server, settings, two_models

__all__ = ["bench", "server", "settings", "two_models"]
