"""Writes .env.example and docs/configuration.md from docs/settings.toml.

python docs/make_configuration.py
"""

from __future__ import annotations

import textwrap
import tomllib
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
WIDTH = 100


def env_example(settings: dict[str, Any]) -> str:
    lines = [
        "# Settings of the compose stack. `make env` copies this file to .env, if there is none.",
        "# A commented line shows the default. docs/configuration.md lists all settings.",
    ]
    for group in settings["group"]:
        lines += ["", f"# --- {group['title']} ".ljust(WIDTH - 4, "-")]
        if "intro" in group:
            lines += ["", *_comment(group["intro"])]
        for entry in group["setting"]:
            line = f"{entry['name']}={entry['value']}"
            lines += ["", *_comment(entry["text"]), line if entry.get("set") else f"#{line}"]
    return "\n".join(lines) + "\n"


def _comment(text: str) -> list[str]:
    wrapped: list[str] = []
    for line in text.strip().splitlines():
        table = line.startswith("  ")  # columns stay as they are
        wrapped += [line] if table else textwrap.wrap(line, WIDTH - 2)
    return [f"# {line}" for line in wrapped]


def configuration_page(settings: dict[str, Any]) -> str:
    parts = [
        "# Configuration",
        "The settings of the compose stack are variables in the file `.env` beside "
        "`docker-compose.yml`; `make env` writes that file.\nWithout compose, trainer, server, API "
        "and workers read the same variables from their environment.",
    ]
    for group in settings["group"]:
        parts.append(f"## {group['title']}")
        if "intro" in group:
            parts.append(group["intro"])
        rows = ["| variable | default | what it is |", "|---|---|---|"]
        for entry in group["setting"]:
            text = "<br>".join(line.strip() for line in entry["text"].strip().splitlines())
            value = f"`{entry['value']}`" if entry["value"] else ""
            rows.append(f"| `{entry['name']}` | {value} | {text} |")
        parts.append("\n".join(rows))
    parts.append("## Set by the images and by compose")
    rows = ["| variable | what it is |", "|---|---|"]
    rows += [f"| `{name}` | {text} |" for name, text in settings["inside"].items()]
    parts.append("\n".join(rows))
    return "\n\n".join(parts) + "\n"


def outputs() -> dict[Path, str]:
    settings = tomllib.loads((HERE / "settings.toml").read_text())
    return {
        HERE.parent / ".env.example": env_example(settings),
        HERE / "configuration.md": configuration_page(settings),
    }


if __name__ == "__main__":
    for path, text in outputs().items():
        path.write_text(text)
