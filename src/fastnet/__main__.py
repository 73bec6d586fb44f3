"""``python -m fastnet``: the `fastnet` command."""

from __future__ import annotations

import sys

from fastnet_command import main

sys.exit(main())
