# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is kept of an engine for another process, as a journal would hold it; never behind what there is to keep."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from engine.ike.endpoint import Endpoint
from engine.ike.records import RecordKey
from engine.ike.v2.proof import PROOF
from engine.ike.v2.sa import AUTHENTICATED
from engine.ike.v2.snapshot import freeze


class KeptRecords:
    """The latest text of each record."""

    def __init__(self) -> None:
        self._texts: dict[RecordKey, str] = {}

    def take(self, engine: Endpoint) -> dict[RecordKey, str | None]:
        """Keep what changed, and return it.

        :raises AssertionError: what is kept then is not what there is.
        """
        changes = {key: None if record is None else _text(record) for key, record in engine.changes().items()}
        for key, text in changes.items():
            if text is None:
                self._texts.pop(key, None)
            else:
                self._texts[key] = text
        kept, there = _plain(self._texts), _plain(_whole(engine))
        if kept != there:
            differ = [key for key in {**kept, **there} if kept.get(key) != there.get(key)]
            raise AssertionError([(key, kept.get(key), there.get(key)) for key in differ])
        return changes

    def records(self) -> dict[RecordKey, dict[str, Any]]:
        """What another process reads."""
        return {key: json.loads(text) for key, text in self._texts.items()}


def _text(record: Mapping[str, Any]) -> str:
    return json.dumps(record, sort_keys=True)


def _whole(engine: Endpoint) -> dict[RecordKey, str]:
    """All records of an engine as they are now, whatever it gave of them."""
    sas = [sa for sa in engine.registry.by_spi.values() if sa.state in AUTHENTICATED]
    return {key: _text(record) for sa in sas for key, record in freeze(sa).items()}


def _plain(records: Mapping[RecordKey, str]) -> dict[RecordKey, Any]:
    """What has to be true of records.

    Nothing is kept of a doubt: a stranger can bring one about (``children.doubt``). A child that is named in an IKE
    SA which has it not is gone, whatever it was, or has a record of its own.
    """
    found = {key: json.loads(text) for key, text in records.items()}
    for record in found.values():
        record["loose"] = [one["number"] for one in record.get("loose", ())]
        for one in [record, record.get("task", {}), *record.get("queue", ())]:
            if one.get("reason") == PROOF:
                del one["reason"]
            if "proof_at" in one:
                one["proof_at"] = "some time"
    return found
