"""Where the project's example sessions and recorded numbers are, should they be here at all."""

import os
from pathlib import Path

SHARED = Path(os.environ.get("OSCAXR_SHARED", Path(__file__).resolve().parents[2] / "shared"))
