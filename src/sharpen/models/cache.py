"""Where things that are fetched or measured once are kept."""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "SHARPEN_CACHE"


def cache_folder() -> Path:
    """The user's cache folder, or the folder that SHARPEN_CACHE names. It need not exist yet."""
    chosen = os.environ.get(VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("sharpen")
