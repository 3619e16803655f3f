"""Makes killers.json of what a long run has left in .parley."""

from __future__ import annotations

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))


def main() -> None:
    """The command."""
    from mutation.results import KILLERS, format_killers

    killers: dict[str, list[str]] = {}
    for path in sorted((ROOT / ".parley").glob("killers-*.json")):
        for killer, mutants in json.loads(path.read_text()).items():
            killers.setdefault(killer, []).extend(mutants)
    KILLERS.write_text(format_killers(killers))


if __name__ == "__main__":
    main()
