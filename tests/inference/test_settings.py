import os
import subprocess
import sys


def test_wrong_settings_are_one_line_each_with_exit_code_2() -> None:
    bad = {**os.environ, "STACK": "", "INFERENCE_PORT": "x", "SERVER_ARGUMENTS": "'open"}
    argv = [sys.executable, "-m", "inference"]
    done = subprocess.run(argv, env=bad, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert [line.split(": ")[:2] for line in done.stderr.splitlines()] == [
        ["wrong setting", name] for name in ["STACK", "INFERENCE_PORT", "SERVER_ARGUMENTS"]
    ]
