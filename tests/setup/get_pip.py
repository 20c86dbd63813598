# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stands in for the get-pip script that ansible-test would download from a place of its own.

ansible-test runs it inside an empty virtual environment, with pip's own options and
``pip==VERSION`` as arguments.  The wheel of that version lies beside this file,
fetched from the package index like every other package.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

WHEELS = Path(__file__).resolve().parent
ARGUMENTS = [word for word in sys.argv[1:] if word not in ("--no-setuptools", "--no-wheel")]
VERSION = next(word.partition("==")[2] for word in ARGUMENTS if word.startswith("pip=="))

sys.path.insert(0, str(WHEELS / f"pip-{VERSION}-py3-none-any.whl"))
sys.argv = ["pip", "install", "--no-index", "--find-links", str(WHEELS), *ARGUMENTS]
runpy.run_module("pip", run_name="__main__", alter_sys=True)
