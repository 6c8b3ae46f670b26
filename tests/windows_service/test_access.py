"""Who may change or read a thing, from its security descriptor as Windows writes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from publisher.windows_service import folders
from publisher.windows_service.access import (
    STATE_FOLDER,
    is_trusted,
    local_service_can_read,
    owner,
    who_can_replace,
    who_can_write,
)

TI = "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464"
ANNA = "S-1-5-21-1004336348-1177238915-682003330-1001"
PROGRAM_FILES = (
    f"O:{TI}G:{TI}D:PAI(A;;FA;;;{TI})(A;CIIO;GA;;;{TI})(A;;0x1301bf;;;SY)(A;OICIIO;GA;;;SY)(A;;0x1301bf;;;BA)"
    "(A;OICIIO;GA;;;BA)(A;;0x1200a9;;;BU)(A;OICIIO;GXGR;;;BU)(A;OICIIO;GA;;;CO)(A;;0x1200a9;;;AC)(A;OICIIO;GXGR;;;AC)"
)
IN_PROGRAM_FILES = (
    f"O:BAG:S-1-5-21-1-2-3-513D:AI(A;ID;FA;;;{TI})(A;CIIOID;GA;;;{TI})(A;ID;FA;;;SY)(A;OICIIOID;GA;;;SY)(A;ID;FA;;;BA)"
    "(A;OICIIOID;GA;;;BA)(A;ID;0x1200a9;;;BU)(A;OICIIOID;GXGR;;;BU)(A;OICIIOID;GA;;;CO)"
)
ROOT = f"O:{TI}G:{TI}D:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;0x1200a9;;;BU)(A;OICIIO;SDGXGWGR;;;AU)(A;;LC;;;AU)"
IN_ROOT = (
    "O:BAG:BAD:AI(A;OICIID;FA;;;SY)(A;OICIID;FA;;;BA)(A;OICIID;0x1200a9;;;BU)(A;ID;0x1301bf;;;AU)"
    "(A;OICIIOID;SDGXGWGR;;;AU)"
)
IN_PROGRAM_DATA = (
    "O:BAG:BAD:AI(A;OICIID;FA;;;SY)(A;OICIID;FA;;;BA)(A;OICIIOID;GA;;;CO)(A;OICIID;0x1200a9;;;BU)(A;CIID;DCLCRPCR;;;BU)"
)
PROFILE = f"O:{ANNA}G:BAD:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;FA;;;{ANNA})"


@pytest.mark.parametrize(
    ("sddl", "writers", "replacers"),
    [
        (PROGRAM_FILES, [], []),
        (IN_PROGRAM_FILES, [], []),
        (ROOT, ["AU"], []),
        (IN_ROOT, ["AU"], ["AU"]),
        (IN_PROGRAM_DATA, ["BU"], []),
        (PROFILE, [ANNA], [ANNA]),
        (STATE_FOLDER, ["LS"], ["LS"]),
        ("O:BAG:BA", ["WD"], ["WD"]),
        ("O:BAG:BAD:NO_ACCESS_CONTROL", ["WD"], ["WD"]),
        ("O:BAG:BAD:", [], []),
        ("D:P(A;;FA;;;SY)", [""], [""]),
        ("O:BAG:BAD:(D;;FA;;;WD)(A;;FR;;;BU)", [], []),
        ("O:BAG:BAD:(A;;FRFX;;;BU)(A;;WD;;;IU)(A;;WO;;;NU)(A;;SD;;;BG)", ["IU", "NU", "BG"], ["IU", "NU", "BG"]),
        ("O:BAG:BAD:(A;;DT;;;BU)", ["BU"], ["BU"]),
        ("O:BAG:BAD:(ZA;;FW;;;BU;(a == 1))(D;;FA;;;IU)", ["BU"], []),
        ("O:BAG:BAD:(A;;ZZ;;;BU)", ["BU"], ["BU"]),
        ('O:BAG:BAD:(XA;;FW;;;BU;(Member_of {SID(BA)}))(A;;GA;;;AN)', ["BU", "AN"], ["AN"]),
        ("O:BAG:BAD:(A;;FR;;;BU)S:(AU;SAFA;FA;;;WD)", [], []),
    ],
)  # fmt: skip
def test_who_can_change_a_thing(sddl: str, writers: list[str], replacers: list[str]) -> None:
    assert who_can_write(sddl) == writers
    assert who_can_replace(sddl) == replacers


def test_the_state_folder_is_for_administrators_and_the_service_only() -> None:
    assert who_can_write(STATE_FOLDER, "LS") == []
    assert owner(STATE_FOLDER) == "BA"
    assert local_service_can_read(STATE_FOLDER)
    assert "D:P" in STATE_FOLDER, "nothing is inherited from %PROGRAMDATA%"
    assert not {"BU", "AU", "WD"} & {entry.split(";")[5] for entry in STATE_FOLDER.replace(")", "").split("(")[1:]}


def test_an_owner_is_an_alias_or_a_sid() -> None:
    assert [owner(sddl) for sddl in (PROFILE, IN_ROOT, PROGRAM_FILES, "D:")] == [ANNA, "BA", TI, ""]
    assert is_trusted(TI)
    assert not is_trusted("")
    assert not is_trusted("LS")
    assert is_trusted("LS", "LS")


@pytest.mark.parametrize(
    ("sddl", "readable"),
    [
        (PROGRAM_FILES, True),
        (IN_ROOT, True),
        (PROFILE, False),
        ("O:BAG:BAD:(A;OICIIO;GR;;;BU)", False),
        ("O:BAG:BAD:(A;;GA;;;WD)", True),
        ("O:BAG:BA", True),
        ("O:BAG:BAD:(D;;FR;;;LS)(A;;FA;;;WD)", False),
        ("O:BAG:BAD:(D;;GR;;;BU)(A;;FR;;;LS)", False),
        ("O:BAG:BAD:(D;OICIIO;FA;;;LS)(D;;WD;;;BU)(D;;FA;;;BG)(A;;FR;;;BU)", True),
    ],
)
def test_local_service_reads_by_its_groups(sddl: str, readable: bool) -> None:
    assert local_service_can_read(sddl) is readable


def test_a_link_is_as_safe_as_what_is_above_its_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The access lists are made up, since Wine keeps none."""
    target, link = tmp_path / "apps" / "publisher", tmp_path / "programs" / "publisher"
    for folder in (target, link.parent):
        folder.mkdir(parents=True)
    link.symlink_to(target, target_is_directory=True)
    calls: Any = None
    for changed in (target.parent, link.parent):
        found = {changed: IN_ROOT}
        monkeypatch.setattr(folders, "security_of", lambda path, _, found=found: found.get(path, IN_PROGRAM_FILES))
        [weakness] = folders.weaknesses_of_program([link], calls)
        assert f"changed by Authenticated Users, who could act as the service ({changed})" in weakness
