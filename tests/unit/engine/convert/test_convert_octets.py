# Copyright: (c) 2026, fleet.ipsec contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files with octets that are no UTF-8: a key is taken as it stands, and other text loses its tunnel, not the file."""

from __future__ import annotations

import pytest
from engine.convert.files import Files
from engine.convert.importing import Source, convert
from engine.convert.report import LOST, SKIPPED, Report
from engine.errors import InputError

KEY = "schlüssel von früher, lang genug".encode("latin-1")
IPSEC_CONF = """
# Büro
conn key
    left=192.0.2.1
    right=192.0.2.2
    rightid=@peer.example
    authby=secret
    auto=start  # für immer
conn identity
    left=192.0.2.1
    right=192.0.2.3
    rightid=@büro.example
    authby=secret
    auto=start
conn büro
    left=192.0.2.1
    right=192.0.2.4
    authby=secret
    auto=start
    leftupdown=/etc/büro
"""
SECRETS = '192.0.2.1 @peer.example : PSK "schlüssel von früher, lang genug"\n@büro.example : PSK "another key of it"\n'
SWANCTL = """
# Büro
connections {
  key { local_addrs = 192.0.2.1
    remote_addrs = 192.0.2.2
    local { auth = psk }
    remote { auth = psk
      id = peer.example }
    children { all { } } }
  identity { local_addrs = 192.0.2.1
    remote_addrs = 192.0.2.3
    local { auth = psk }
    remote { auth = psk
      id = büro.example }
    children { all { } } }
  büro { local_addrs = 192.0.2.1
    remote_addrs = 192.0.2.4
    local { auth = psk }
    remote { auth = psk }
    children { all { updown = /etc/büro } } }
}
secrets {
  ike-1 { id = peer.example
    secret = "schlüssel von früher, lang genug" }
  ike-2 { id = büro.example
    secret = "another key of it" }
}
"""


def _converted(folder, text, format, secrets=None):
    report = Report()
    files = Files(report)
    sources = []
    for name, each in (("main", text), ("secrets", secrets)):
        path = str(folder / name)
        (folder / name).write_bytes((each or "").encode("latin-1"))
        sources.append(Source(files.read(path), path))
    return convert(sources[0], format, files, report, sources[1] if secrets else None)


@pytest.mark.parametrize(
    ("text", "format", "secrets"), [(IPSEC_CONF, "ipsec_conf", SECRETS), (SWANCTL, "swanctl", None)]
)
def test_octets_that_are_no_utf8_lose_what_needs_them_and_no_more(tmp_path, text, format, secrets):
    found = _converted(tmp_path, text, format, secrets)
    assert [tunnel.name for tunnel in found.tunnels] == ["key", "b_ro"]
    (tunnel,) = (tunnel for tunnel in found.tunnels if tunnel.name == "key")
    assert tunnel.credential is not None
    assert tunnel.credential.secret.reveal() == KEY
    assert tunnel.complete()["auth"] == {"method": "psk", "secret": KEY.hex(), "secret_format": "hex"}
    lost = [note for note in found.notes if "not UTF-8" in note.instead]
    assert {note.severity for note in lost if note.tunnel == "identity"} == {SKIPPED}
    assert {note.severity for note in lost if not note.tunnel} == {LOST}
    for note in found.notes:
        str(note).encode("utf-8")  # can be printed, and says what stands there as far as it can be read
    assert any("b\N{REPLACEMENT CHARACTER}ro.example" in note.value for note in lost)


def test_a_file_of_xml_names_the_line():
    report = Report()
    files = Files(report)
    text = files.decode(b'<AIX_VPN Version="2.0">\n<IKEProtection IKE_Role="B\xfcro"/></AIX_VPN>', "a.xml", "file")
    with pytest.raises(InputError, match=r"a\.xml:2: .*UTF-8"):
        convert(Source(text, "a.xml"), "auto", files, report)


def test_a_character_set_of_two_octets_is_told(tmp_path):
    (tmp_path / "wide").write_bytes(IPSEC_CONF.encode("utf-16"))
    with pytest.raises(InputError, match="NUL"):
        Files(Report()).read(str(tmp_path / "wide"))
