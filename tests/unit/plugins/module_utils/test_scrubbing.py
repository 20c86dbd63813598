# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""No secret is ever in a result or in the log, however many there are and wherever they turn up."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from ansible_collections.fleet.ipsec.plugins.module_utils.scrubbing import occurring
from hypothesis import example, given
from hypothesis import strategies as st

HIDDEN = "********"
WHOLE = "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"

# A module that shows what it was given where no secret belongs.
_MODULE = """
import json, sys
sys.path[:0] = json.loads(sys.argv[1])
from ansible.module_utils import basic
from ansible_collections.fleet.ipsec.plugins.module_utils.scrubbing import ManySecretsModule

class Module(ManySecretsModule):
    def log(self, msg, log_args=None):
        with open(sys.argv[2], "a") as stream:
            print(msg, log_args, file=stream)

AUTH = {"type": "dict", "options": {"secret": {"type": "str", "no_log": True}}}
def main():
    tunnel = {"name": {"type": "str"}, "auth": AUTH}
    module = Module({"tunnels": {"type": "list", "elements": "dict", "options": tunnel},
                     "result": {"type": "dict"}, "warning": {"type": "str"}, "state": {"type": "str"},
                     "how": {"type": "str", "default": "exit"}})
    result = module.params["result"] or {}
    if module.params["warning"]:
        module.warn(module.params["warning"])
    if module.params["how"] == "fail":
        module.fail_json("failed with " + str(result.get("text")), invocation={}, **result)
    if module.params["how"] == "handle":
        try:
            raise ValueError(str(result))
        except ValueError as exc:
            module.fail_json(str(exc), invocation={}, **result)
    module.exit_json(invocation={}, **result)

arguments = json.load(sys.stdin)
try:
    from ansible.module_utils.testing import patch_module_args
except ImportError:
    basic._ANSIBLE_ARGS = json.dumps({"ANSIBLE_MODULE_ARGS": arguments}).encode()
    main()
else:
    with patch_module_args(arguments):
        main()
"""


def run(tmp_path: Any, secrets: list[str], **arguments: Any) -> tuple[dict[str, Any], str]:
    """The result and the log."""
    tunnels = [{"name": f"t{n}", "auth": {"secret": secret}} for n, secret in enumerate(secrets)]
    given = {"tunnels": tunnels, **arguments, "_ansible_remote_tmp": "/tmp", "_ansible_keep_remote_files": False}
    done = subprocess.run(
        [sys.executable, "-c", _MODULE, json.dumps(sys.path), str(tmp_path / "log")],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip(), done.stderr
    return json.loads(done.stdout.strip().splitlines()[-1]), (tmp_path / "log").read_text()


def searched(secrets: set[str], texts: set[str]) -> set[str]:
    return {secret for secret in secrets if secret and any(secret in text for text in texts)}


few_letters = st.text("ab", max_size=40)


@given(st.sets(few_letters, max_size=8), st.sets(st.text("ab", max_size=200), max_size=4))
@example({"a"}, {"a"})
@example({"ab"}, {"ba"})
@example({"abc"}, {"xxabcx"})
@example({""}, {"a"})
def test_what_occurs_is_found_and_nothing_else(secrets: set[str], texts: set[str]) -> None:
    assert occurring(secrets, texts) == searched(secrets, texts)


@given(st.sets(st.text(max_size=70), max_size=5), st.text(max_size=90), st.text(max_size=90))
def test_secrets_within_any_text_are_found(secrets: set[str], before: str, after: str) -> None:
    texts = {before + secret + after for secret in secrets}
    assert occurring(secrets, texts) == searched(secrets, texts)


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 7, 8, 15, 16, 31, 32, 33, 64, 100])
def test_every_length_at_every_place(length: int) -> None:
    secret = "".join(chr(0x100 + n) for n in range(length))
    for place in range(70):
        assert occurring([secret], ["." * place + secret]) == {secret}
        assert occurring([secret], ["." * place + secret[:-1] + "."]) == set()


@pytest.mark.parametrize("how", ["exit", "fail", "handle"])
def test_a_secret_in_a_result_is_hidden(tmp_path, how: str) -> None:
    secrets = [f"the secret number {n:04}" for n in range(300)]
    result, _log = run(
        tmp_path, [*secrets, "8128"], how=how, result={
            "text": f"before {secrets[7]} after", "whole": secrets[8], "deep": [{"a": [f"x{secrets[9]}"]}],
            "number": 181281,
        },
    )  # fmt: skip
    assert (result["text"], result["whole"]) == (f"before {HIDDEN} after", WHOLE)
    assert result["deep"] == [{"a": [f"x{HIDDEN}"]}]
    assert result["number"] == WHOLE
    assert not [secret for secret in secrets if secret in json.dumps(result)]


def test_a_secret_in_a_warning_is_not_forgotten(tmp_path) -> None:
    result, _log = run(tmp_path, ["the only secret"], result={"text": "the only secret"}, warning="see the only secret")
    assert result["text"] == WHOLE


def test_the_log_has_no_definition(tmp_path) -> None:
    secrets = [f"the secret number {n:04}" for n in range(300)]
    _result, log = run(tmp_path, secrets, state="present")
    assert "state=present" in log
    assert "tunnels=[300 items]" in log
    assert "secret" not in log
    assert len(log.splitlines()) == 1


def test_the_log_names_a_few_tunnels(tmp_path) -> None:
    _result, log = run(tmp_path, ["the first secret", "the second secret"], state="present")
    assert "tunnels=['t0', 't1']" in log
    assert "secret" not in log


def test_work_grows_with_the_number_of_secrets_not_with_its_square(calls) -> None:
    def work(count: int) -> int:
        secrets = {f"{n:032}" for n in range(count)}
        texts = {f"{n:08} with a text of some length that has no secret in it" for n in range(count)}
        return calls(occurring, secrets, texts)

    assert work(8_000) < 5 * work(2_000)
