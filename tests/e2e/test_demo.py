"""The conversation that ./scripts/start plays."""

from __future__ import annotations

import os
import re
import subprocess
import sys

from support.stacks import ROOT


def test_alice_and_bob_talk(stack):
    done = subprocess.run(
        [sys.executable, ROOT / "scripts/demo.py"],
        capture_output=True,
        text=True,
        timeout=60,
        env={
            **os.environ,
            "SUPABASE_URL": stack.api_url,
            "SUPABASE_PUBLISHABLE_KEY": stack.publishable_key,
        },
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(re.findall(r"received live after \d+ ms", done.stdout)) == 3
    assert re.search(r"bob has \d+ unread, reads them, and has 0", done.stdout)
