"""The conversions between LUID, index, alias, name and GUID of an interface.

Each raises InterfaceNotFoundError when no interface has the value, and InvalidParameterError for a value of the wrong
kind. On Linux alias and name are both the name of the link ("eth0"), and there are no GUIDs. Python itself has
`socket.if_nametoindex` and `socket.if_indextoname`, for the same names.
"""

from __future__ import annotations

from uuid import UUID

from .arguments import checked_guid, checked_index, checked_luid, checked_name
from .calls import system


def convert_interface_index_to_luid(index: int) -> str:
    """ConvertInterfaceIndexToLuid: returns the LUID of the interface with this index."""
    return system().luid_of_index(checked_index(index))


def convert_interface_luid_to_index(luid: str) -> int:
    """ConvertInterfaceLuidToIndex: returns the index, which another interface may have after this one."""
    return system().index_of(checked_luid(luid))


def convert_interface_alias_to_luid(alias: str) -> str:
    """ConvertInterfaceAliasToLuid: returns the LUID of the interface with this alias ("Ethernet 2", "eth0")."""
    return system().luid_of("alias", checked_name("alias", alias))


def convert_interface_luid_to_alias(luid: str) -> str:
    """ConvertInterfaceLuidToAlias: returns the alias, which the user may change."""
    return system().name_of("alias", checked_luid(luid))


def convert_interface_name_to_luid(name: str) -> str:
    """ConvertInterfaceNameToLuid: returns the LUID of the interface with this name ("ethernet_32769", "eth0")."""
    return system().luid_of("name", checked_name("name", name))


def convert_interface_luid_to_name(luid: str) -> str:
    """ConvertInterfaceLuidToName: returns the name, on Windows one that the user does not see."""
    return system().name_of("name", checked_luid(luid))


def convert_interface_guid_to_luid(guid: str | UUID) -> str:
    """ConvertInterfaceGuidToLuid: returns the LUID; raises NotSupportedError on Linux."""
    return system().luid_of("guid", checked_guid(guid))


def convert_interface_luid_to_guid(luid: str) -> str:
    """ConvertInterfaceLuidToGuid: returns the GUID as `uuid.UUID` writes it; raises NotSupportedError on Linux."""
    return system().name_of("guid", checked_luid(luid))
