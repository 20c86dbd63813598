# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fresh keys on request, between two managers."""

from __future__ import annotations

import signal

import pytest
from engine.manager.client import RpcError
from manager_lab import SECRET, ends
from manager_pair import established, spis, tunnel

VOICE = {"name": "voice", "local": ["10.3.0.0/16"], "remote": ["10.4.0.0/16"]}


def rekey(manager, *names, **params):
    return manager.call("tunnels.rekey", names=list(names or ("to-right",)), **params)


def ike(manager):
    (sa,) = tunnel(manager)["ike_sas"]
    return sa["initiator_spi"]


def test_both_phases_get_fresh_keys_and_that_is_waited_for(pair):
    left, right = pair
    established(left, right)
    before, old = spis(left), ike(left)
    answer = rekey(left)
    (told,) = answer["tunnels"]
    assert answer["reached"] and told["reached"] and told["state"] == "active" and not told["reason"]
    assert told["manager_number"] == 1
    assert [sa["initiator_spi"] for sa in tunnel(left)["ike_sas"] if sa["state"] == "established"] != [old]
    assert told["before"]["ike"] != told["after"]["ike"] and old in told["before"]["ike"][0]
    assert told["before"]["children"]["lan"] == [f"in {before[0][0]}, out {before[0][1]}"]
    assert set(told["before"]["children"]["lan"]).isdisjoint(told["after"]["children"]["lan"])
    assert right.call("tunnels.wait", names=["to-left"])["reached"]


def test_parts_of_it(pair):
    left, right = pair
    ours, theirs = ends(left, right)
    ours["children"].append(VOICE)
    theirs["children"].append(VOICE | {"local": VOICE["remote"], "remote": VOICE["local"]})
    right.apply(theirs)
    left.apply(ours, state="active")
    assert left.wait("to-right")["reached"]
    for limits, fresh in (
        ({"check": True}, set()),
        ({"phase": 1}, {"ike"}),
        ({"phase": 2}, {"lan", "voice"}),
        ({"only_children": [{"name": "to-right", "children": ["voice"]}]}, {"voice"}),
        ({"reauthenticate": True}, {"ike", "lan", "voice"}),
    ):
        answer = rekey(left, **limits)
        (told,) = answer["tunnels"]
        assert answer["reached"], limits
        before, after = ({"ike": keys["ike"], **keys["children"]} for keys in (told["before"], told["after"]))
        assert {name for name in before if before[name] != after[name]} == fresh, limits


def test_what_is_not_up_says_why_there_is_nothing_to_renew(pair):
    left, right = pair
    ours, _theirs = ends(left, right)
    left.apply(ours)
    for check in (False, True):
        answer = rekey(left, check=check)
        (told,) = answer["tunnels"]
        assert not answer["reached"] and not told["reached"] and answer["waited"] < 1
        assert told["reason"] == "not_started" and "only what is up has keys to renew" in told["story"]
        assert told["remedy"]


def test_the_reason_is_told_where_the_peer_refuses(pair):
    left, right = pair
    _ours, theirs = established(left, right)
    before = spis(left)
    right.apply(theirs | {"auth": {"secret": SECRET + " of the next epoch"}})
    assert rekey(left)["reached"], "fresh keys need no secret"
    before = spis(left)
    answer = rekey(left, reauthenticate=True)
    (told,) = answer["tunnels"]
    assert not answer["reached"] and told["reason"] == "authentication_failed" and told["state"] == "active"
    assert told["remedy"] and set(spis(left)) <= set(before) and answer["waited"] < 10


def test_words_that_make_no_sense_are_refused(pair):
    left, right = pair
    established(left, right)
    for params, field in (
        ({"phase": 1, "reauthenticate": True}, "phase"),
        ({"only_children": [{"name": "to-right", "children": ["wan"]}]}, "only_children"),
    ):
        with pytest.raises(RpcError, match=field):
            rekey(left, **params)
    with pytest.raises(RpcError, match="no such tunnel.*to-nowhere"):
        rekey(left, "to-nowhere")
    with pytest.raises(RpcError, match="names"):
        left.call("tunnels.rekey")


def test_the_silence_of_the_peer_is_told(pair):
    left, right = pair
    established(left, right)
    right.process.send_signal(signal.SIGSTOP)
    hung = rekey(left, timeout=5.0)
    (told,) = hung["tunnels"]
    assert not hung["reached"] and told["reason"] == "no_answer" and told["remedy"]
    assert "CREATE_CHILD_SA" in told["story"] and "without an answer" in told["story"]
