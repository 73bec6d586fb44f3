"""``python -m fastnet``: the `fastnet` command."""

from __future__ import annotations

import sys

from fastnet.cli import main

sys.exit(main())
