"""Patterns that are written in simplified characters, for text in traditional ones too."""

from __future__ import annotations

_TRADITIONAL = dict(
    zip(
        "选择项应为确错误结论终综题该们个这会则时对虽认设说还后无难觉断实过当据种样并谁没问现",
        "選擇項應為確錯誤結論終綜題該們個這會則時對雖認設說還後無難覺斷實過當據種樣並誰沒問現",
        strict=True,
    )
)


def in_both_scripts(pattern: str) -> str:
    """`pattern` with the traditional form of each character that has one as an alternative."""
    made, in_class, escaped = [], False, False
    for character in pattern:
        other = "" if escaped else _TRADITIONAL.get(character, "")
        made.append(f"[{character}{other}]" if other and not in_class else character + other)
        if not escaped and character == ("]" if in_class else "["):
            in_class = not in_class
        escaped = not escaped and character == "\\"
    return "".join(made)
