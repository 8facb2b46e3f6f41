"""Gives the training tests the tiny model of the model tests."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "models"))  # for `tiny_model`
