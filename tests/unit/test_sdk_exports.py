"""What `import parley` shows, and what it costs."""

from __future__ import annotations

import subprocess
import sys
import types

import parley


def test_all_is_sorted_and_is_what_is_visible() -> None:
    visible = {
        name
        for name, value in vars(parley).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    }
    assert list(parley.__all__) == sorted(parley.__all__)
    assert set(parley.__all__) == visible - {"annotations"} | {"__version__"}


def test_every_module_is_private() -> None:
    public = [
        name
        for name, value in vars(parley).items()
        if isinstance(value, types.ModuleType) and not name.startswith("_")
    ]
    assert public == []


def test_importing_leaves_out_what_is_slow_to_import() -> None:
    code = (
        "import sys, parley\n"
        "print(*sorted({'postgrest', 'realtime', 'supabase', 'supabase_auth', 'websockets'}"
        " & set(sys.modules)))"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout
    assert shown.split() == []
