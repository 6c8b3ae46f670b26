"""The access lists of files and folders, read from Windows, and a folder that is made with its own."""

from __future__ import annotations

import ctypes
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from .access import LOCAL_SERVICE, STATE_FOLDER, local_service_can_read, name_of, who_can_replace, who_can_write
from .advapi32 import (
    DACL_SECURITY_INFORMATION,
    ERROR_ALREADY_EXISTS,
    OWNER_SECURITY_INFORMATION,
    SDDL_REVISION_1,
    SE_FILE_OBJECT,
    SecurityAttributes,
)
from .calls import WindowsCalls, WindowsServiceError, explained

_ALL = OWNER_SECURITY_INFORMATION | DACL_SECURITY_INFORMATION


def security_of(path: Path, calls: WindowsCalls) -> str:
    """Returns owner and access list of a file or folder as SDDL; raises WindowsServiceError."""
    descriptor, text = ctypes.c_void_p(), ctypes.c_void_p()
    with explained(f"the access list of {path} cannot be read"):
        calls.code(
            "GetNamedSecurityInfoW", str(path), SE_FILE_OBJECT, _ALL, None, None, None, None, ctypes.byref(descriptor)
        )
        try:
            calls(
                "ConvertSecurityDescriptorToStringSecurityDescriptorW",
                descriptor, SDDL_REVISION_1, _ALL, ctypes.byref(text), None,
            )  # fmt: skip
            return ctypes.wstring_at(text.value or 0)
        finally:
            calls.free(text)
            calls.free(descriptor)


def make_state_folder(path: Path, calls: WindowsCalls) -> bool:
    """Makes the folder of journal, log and configuration, for administrators and LOCAL SERVICE only.

    Returns whether it made it: one that exists is left as it is, and `weakness_of_state` looks at it.
    """
    descriptor = ctypes.c_void_p()
    with explained(f"the folder {path} cannot be made"):
        calls(
            "ConvertStringSecurityDescriptorToSecurityDescriptorW", STATE_FOLDER, SDDL_REVISION_1,
            ctypes.byref(descriptor), None,
        )  # fmt: skip
        attributes = SecurityAttributes(ctypes.sizeof(SecurityAttributes), descriptor, 0)
        try:
            calls("CreateDirectoryW", str(path), ctypes.byref(attributes))
        except WindowsServiceError as error:
            if error.code != ERROR_ALREADY_EXISTS:
                raise
            return False
        finally:
            calls.free(descriptor)
    return True


def weakness_of_state(path: Path, calls: WindowsCalls) -> str | None:
    """Returns a line when others can change the state folder, since what they put there would be believed."""
    if getattr(path.lstat(), "st_file_attributes", 0) & stat.FILE_ATTRIBUTE_REPARSE_POINT:
        return f"the folder {path} is a link to another place: remove it, and run this again (the folder is made anew)"
    others = who_can_write(security_of(path, calls), LOCAL_SERVICE)
    if not others:
        return None
    return (
        f"the folder {path} can be changed by {_listed(others, calls)}, and the service would believe what is in it: "
        "rename it, run this again (the folder is made anew), and copy your configuration there"
    )


def weaknesses_of_program(paths: Iterable[Path], calls: WindowsCalls) -> Iterator[str]:
    """Yields a line for those who can change parts of the program, and one for parts that the service cannot read."""
    changed: dict[str, list[Path]] = {}
    unread: list[Path] = []
    # The parts and what their links lead to: above the one, the link can be replaced, and above the other, its target.
    parts = list(dict.fromkeys(place for path in paths for place in (path, path.resolve())))
    for path in parts:
        sddl = security_of(path, calls)
        if others := who_can_write(sddl):
            changed.setdefault(_listed(others, calls), []).append(path)
        if not local_service_can_read(sddl):
            unread.append(path)
    for folder in dict.fromkeys(above for path in parts for above in path.parents if above not in parts):
        if others := who_can_replace(security_of(folder, calls)):
            changed.setdefault(_listed(others, calls), []).append(folder)
    for names, places in changed.items():
        yield f"the program can be changed by {names}, who could act as the service ({_some(places)}): {_REMEDY}"
    if unread:
        yield f"the program cannot be read by LOCAL SERVICE, the account of the service ({_some(unread)}): {_REMEDY}"


_REMEDY = r'install Python for all users, and publisher in "C:\Program Files" (docs/windows-service.md)'


def _some(places: list[Path]) -> str:
    more = f" and {len(places) - 2} more places" if len(places) > 2 else ""
    return ", ".join(map(str, places[:2])) + more


def _listed(holders: Iterable[str], calls: WindowsCalls) -> str:
    return ", ".join(_account(holder, calls) if holder.startswith("S-") else name_of(holder) for holder in holders)


def _account(sid: str, calls: WindowsCalls) -> str:
    r"""Returns the name of an account, such as `PC\anna`; its SID when the account was removed."""
    binary = ctypes.c_void_p()
    name, domain = ctypes.create_unicode_buffer(257), ctypes.create_unicode_buffer(257)
    sizes = (ctypes.c_uint32(len(name)), ctypes.c_uint32(len(domain)), ctypes.c_uint32())
    try:
        calls("ConvertStringSidToSidW", sid, ctypes.byref(binary))
        try:
            calls("LookupAccountSidW", None, binary, name, sizes[0], domain, sizes[1], sizes[2])
        finally:
            calls.free(binary)
    except WindowsServiceError:
        return sid
    return rf"{domain.value}\{name.value}"
