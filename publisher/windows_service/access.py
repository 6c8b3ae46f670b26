"""The meaning of access lists in SDDL, Microsoft's text form of security descriptors. No call of Windows.

The grammar is documented at https://learn.microsoft.com/en-us/windows/win32/secauthz/ace-strings.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import NamedTuple

# SYSTEM and Administrators have every right, LOCAL SERVICE may read and change, and nobody else has any. P: nothing is
# inherited from %PROGRAMDATA%, where every user may make files.
STATE_FOLDER = "O:BAG:BAD:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;0x1301bf;;;LS)"
LOCAL_SERVICE = "LS"
# SYSTEM, Administrators, the built-in Administrator and TrustedInstaller; and whoever owns the thing, since the owner
# is looked at.
_TRUSTED = frozenset({"SY", "BA", "LA", "CO", "OW", "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464"})
# Groups that LOCAL SERVICE is in.
_WITH_LOCAL_SERVICE = frozenset({LOCAL_SERVICE, "BU", "AU", "WD", "SU"})
_NAMES = {
    "AN": "anonymous users",
    "AU": "Authenticated Users",
    "BG": "Guests",
    "BU": "Users",
    "CO": "CREATOR OWNER",
    "DU": "Domain Users",
    "IU": "INTERACTIVE",
    "LS": "LOCAL SERVICE",
    "NS": "NETWORK SERVICE",
    "NU": "NETWORK",
    "SU": "SERVICE",
    "WD": "Everyone",
}
_RIGHTS = {
    "GA": 0x1000_0000, "GX": 0x2000_0000, "GW": 0x4000_0000, "GR": 0x8000_0000,
    "FA": 0x1F_01FF, "FR": 0x12_0089, "FW": 0x12_0116, "FX": 0x12_00A0,
    "RC": 0x2_0000, "SD": 0x1_0000, "WD": 0x4_0000, "WO": 0x8_0000,
    "CC": 0x1, "DC": 0x2, "LC": 0x4, "SW": 0x8, "RP": 0x10, "WP": 0x20, "DT": 0x40, "LO": 0x80, "CR": 0x100,
}  # fmt: skip
# Of a condition in an entry (X, Z) it is taken that it holds.
_ALLOWS, _DENIES = ("A", "XA", "OA", "ZA"), ("D", "XD", "OD")
_EVERY_RIGHT = _RIGHTS["GA"]
_READ = 0x1 | _RIGHTS["GR"] | _RIGHTS["GA"]
# DELETE_CHILD, DELETE, WRITE_DAC, WRITE_OWNER: with one of them a folder's content can be replaced.
_REPLACE = 0x40 | _RIGHTS["SD"] | _RIGHTS["WD"] | _RIGHTS["WO"] | _RIGHTS["GA"]
# Besides, FILE_WRITE_DATA and FILE_APPEND_DATA, which in a folder make new files and folders.
_WRITE = _REPLACE | 0x2 | 0x4 | _RIGHTS["GW"]


class _Entry(NamedTuple):
    """One entry of an access list."""

    rights: int
    holder: str


def owner(sddl: str) -> str:
    """Returns the owner, as an alias of SDDL or a SID; an empty text without one."""
    found = re.search(r"O:(.+?)(?=[GDS]:|$)", sddl)
    return found[1] if found else ""


def is_trusted(holder: str, *others: str) -> bool:
    """Returns whether only administrators and the system act as this holder, or whether it is one of the others."""
    return holder in _TRUSTED or holder in others


def who_can_write(sddl: str, *others: str) -> list[str]:
    """Returns those, besides administrators and the others, who may change the thing or what is in it."""
    return _holders(sddl, _WRITE, others, inherit_only=True)


def who_can_replace(sddl: str, *others: str) -> list[str]:
    """Returns those, besides administrators and the others, who may replace what is in this folder."""
    return _holders(sddl, _REPLACE, others, inherit_only=False)


def local_service_can_read(sddl: str) -> bool:
    """Returns whether LOCAL SERVICE or a group that it is in may read the thing, and none of them is denied it."""
    allowed, denied = (
        any(entry.holder in _WITH_LOCAL_SERVICE and entry.rights & _READ for entry in entries)
        for entries in (_allowed(sddl, inherit_only=False), _entries(sddl, _DENIES, inherit_only=False))
    )
    return allowed and not denied


def name_of(holder: str) -> str:
    """Returns the name of a holder that SDDL has an alias for; else the holder, which is a SID."""
    return _NAMES.get(holder, holder or "nobody")


def _holders(sddl: str, rights: int, others: tuple[str, ...], *, inherit_only: bool) -> list[str]:
    """The owner counts, since an owner may always change the access list."""
    found = [] if is_trusted(owner(sddl), *others) else [owner(sddl)]
    found += [
        entry.holder
        for entry in _allowed(sddl, inherit_only=inherit_only)
        if entry.rights & rights and not is_trusted(entry.holder, *others)
    ]
    return list(dict.fromkeys(found))


def _allowed(sddl: str, *, inherit_only: bool) -> Iterator[_Entry]:
    """Yields the entries that allow something; with `inherit_only` also those for what is made inside later.

    Without an access list everybody has every right, which is one entry.
    """
    _, found, listed = sddl.partition("D:")
    if not found or listed.startswith("NO_ACCESS_CONTROL"):
        yield _Entry(_EVERY_RIGHT, "WD")
    yield from _entries(sddl, _ALLOWS, inherit_only=inherit_only)


def _entries(sddl: str, types: Collection[str], *, inherit_only: bool) -> Iterator[_Entry]:
    listed = sddl.partition("D:")[2]
    for text in re.findall(r"\(([^()]*)", re.split(r"\)S:", listed)[0]):
        fields = [*text.split(";"), "", "", "", "", ""]
        if fields[0] in types and (inherit_only or "IO" not in _pairs(fields[1])):
            yield _Entry(_mask(fields[2]), fields[5])


def _mask(rights: str) -> int:
    """Returns the bits of a number or of a row of two-letter rights; one that is not known counts as every right."""
    if rights[:1].isdigit():
        return int(rights, 0)
    mask = 0
    for right in _pairs(rights):
        mask |= _RIGHTS.get(right, _EVERY_RIGHT)
    return mask


def _pairs(letters: str) -> list[str]:
    return [letters[place : place + 2] for place in range(0, len(letters), 2)]
