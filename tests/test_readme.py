"""The README's example runs and prints what the README says."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_example_prints_what_the_readme_shows():
    code, output = re.search(
        r"```python\n(.*?)```\n\n```\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL
    ).groups()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    numbers = re.compile(r"-?\d+\.?\d*(?:e[+-]?\d+)?")
    assert numbers.sub("#", done.stdout) == numbers.sub("#", output)
    for ours, shown in zip(numbers.findall(done.stdout), numbers.findall(output), strict=True):
        digits = len(shown.partition(".")[2])  # the last printed digit may differ between processors
        assert abs(float(ours) - float(shown)) <= 1.01 * 10.0**-digits
