"""The structures of iphlpapi.dll, as data.

All types have a fixed width, so that the layouts are the same, and are tested, on every system (wintypes.DWORD has
8 bytes on Linux, c_wchar 4). They are those of netioapi.h, nldef.h, ifdef.h and ws2ipdef.h, documented at
https://learn.microsoft.com/en-us/windows/win32/api/netioapi/.
"""

from __future__ import annotations

from ctypes import Structure, Union, c_int32, c_int64, c_uint8, c_uint16, c_uint32, c_uint64, c_void_p

BOOLEAN = c_uint8
WCHAR = c_uint16
LONGEST_NAME = 257  # NDIS_IF_MAX_STRING_SIZE (ifdef.h), and a NUL
HANDLE = c_void_p
SIZE_T = c_void_p  # as wide as a pointer, and ctypes passes a number


class Record(Structure):
    """A structure whose repr has all its bytes, so that a test can make the one that a log shows."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}.from_buffer_copy(bytes.fromhex({bytes(self).hex()!r}))"


class NetLuid(Structure):
    """NET_LUID; `publisher.events.luid_parts` returns its bit fields."""

    _fields_ = [("Value", c_uint64)]


class Guid(Structure):
    """GUID."""

    _fields_ = [("Data1", c_uint32), ("Data2", c_uint16), ("Data3", c_uint16), ("Data4", c_uint8 * 8)]


class OffloadRod(Structure):
    """NL_INTERFACE_OFFLOAD_ROD: eight bits, the lowest first."""

    _fields_ = [
        ("NlChecksumSupported", c_uint8, 1),
        ("NlOptionsSupported", c_uint8, 1),
        ("TlDatagramChecksumSupported", c_uint8, 1),
        ("TlStreamChecksumSupported", c_uint8, 1),
        ("TlStreamOptionsSupported", c_uint8, 1),
        ("FastPathCompatible", c_uint8, 1),
        ("TlLargeSendOffloadSupported", c_uint8, 1),
        ("TlGiantSendOffloadSupported", c_uint8, 1),
    ]


class MibIpInterfaceRow(Record):
    """MIB_IPINTERFACE_ROW."""

    _fields_ = [
        ("Family", c_uint16),
        ("InterfaceLuid", NetLuid),
        ("InterfaceIndex", c_uint32),
        ("MaxReassemblySize", c_uint32),
        ("InterfaceIdentifier", c_uint64),
        ("MinRouterAdvertisementInterval", c_uint32),
        ("MaxRouterAdvertisementInterval", c_uint32),
        ("AdvertisingEnabled", BOOLEAN),
        ("ForwardingEnabled", BOOLEAN),
        ("WeakHostSend", BOOLEAN),
        ("WeakHostReceive", BOOLEAN),
        ("UseAutomaticMetric", BOOLEAN),
        ("UseNeighborUnreachabilityDetection", BOOLEAN),
        ("ManagedAddressConfigurationSupported", BOOLEAN),
        ("OtherStatefulConfigurationSupported", BOOLEAN),
        ("AdvertiseDefaultRoute", BOOLEAN),
        ("RouterDiscoveryBehavior", c_int32),
        ("DadTransmits", c_uint32),
        ("BaseReachableTime", c_uint32),
        ("RetransmitTime", c_uint32),
        ("PathMtuDiscoveryTimeout", c_uint32),
        ("LinkLocalAddressBehavior", c_int32),
        ("LinkLocalAddressTimeout", c_uint32),
        ("ZoneIndices", c_uint32 * 16),
        ("SitePrefixLength", c_uint32),
        ("Metric", c_uint32),
        ("NlMtu", c_uint32),
        ("Connected", BOOLEAN),
        ("SupportsWakeUpPatterns", BOOLEAN),
        ("SupportsNeighborDiscovery", BOOLEAN),
        ("SupportsRouterDiscovery", BOOLEAN),
        ("ReachableTime", c_uint32),
        ("TransmitOffload", OffloadRod),
        ("ReceiveOffload", OffloadRod),
        ("DisableDefaultRoutes", BOOLEAN),
    ]


class MibIfRow2(Record):
    """MIB_IF_ROW2. `InterfaceAndOperStatusFlags` is a byte of eight bits."""

    _fields_ = [
        ("InterfaceLuid", NetLuid),
        ("InterfaceIndex", c_uint32),
        ("InterfaceGuid", Guid),
        ("Alias", WCHAR * 257),
        ("Description", WCHAR * 257),
        ("PhysicalAddressLength", c_uint32),
        ("PhysicalAddress", c_uint8 * 32),
        ("PermanentPhysicalAddress", c_uint8 * 32),
        ("Mtu", c_uint32),
        ("Type", c_uint32),
        ("TunnelType", c_int32),
        ("MediaType", c_int32),
        ("PhysicalMediumType", c_int32),
        ("AccessType", c_int32),
        ("DirectionType", c_int32),
        ("InterfaceAndOperStatusFlags", c_uint8),
        ("OperStatus", c_int32),
        ("AdminStatus", c_int32),
        ("MediaConnectState", c_int32),
        ("NetworkGuid", Guid),
        ("ConnectionType", c_int32),
        ("TransmitLinkSpeed", c_uint64),
        ("ReceiveLinkSpeed", c_uint64),
        ("InOctets", c_uint64),
        ("InUcastPkts", c_uint64),
        ("InNUcastPkts", c_uint64),
        ("InDiscards", c_uint64),
        ("InErrors", c_uint64),
        ("InUnknownProtos", c_uint64),
        ("InUcastOctets", c_uint64),
        ("InMulticastOctets", c_uint64),
        ("InBroadcastOctets", c_uint64),
        ("OutOctets", c_uint64),
        ("OutUcastPkts", c_uint64),
        ("OutNUcastPkts", c_uint64),
        ("OutDiscards", c_uint64),
        ("OutErrors", c_uint64),
        ("OutUcastOctets", c_uint64),
        ("OutMulticastOctets", c_uint64),
        ("OutBroadcastOctets", c_uint64),
        ("OutQLen", c_uint64),
    ]


class MibIfStackRow(Structure):
    """MIB_IFSTACK_ROW: two interface indexes."""

    _fields_ = [("HigherLayerInterfaceIndex", c_uint32), ("LowerLayerInterfaceIndex", c_uint32)]


class MibInvertedIfStackRow(Structure):
    """MIB_INVERTEDIFSTACK_ROW: the same two indexes, the lower interface first."""

    _fields_ = [("LowerLayerInterfaceIndex", c_uint32), ("HigherLayerInterfaceIndex", c_uint32)]


class SockaddrIn(Structure):
    """SOCKADDR_IN."""

    _fields_ = [("sin_family", c_uint16), ("sin_port", c_uint16), ("sin_addr", c_uint8 * 4), ("sin_zero", c_uint8 * 8)]


class SockaddrIn6(Structure):
    """SOCKADDR_IN6."""

    _fields_ = [
        ("sin6_family", c_uint16),
        ("sin6_port", c_uint16),
        ("sin6_flowinfo", c_uint32),
        ("sin6_addr", c_uint8 * 16),
        ("sin6_scope_id", c_uint32),
    ]


class SockaddrInet(Union):
    """SOCKADDR_INET."""

    _fields_ = [("Ipv4", SockaddrIn), ("Ipv6", SockaddrIn6), ("si_family", c_uint16)]


class ScopeId(Structure):
    """SCOPE_ID: the zone in the low 28 bits, the scope level in the high 4."""

    _fields_ = [("Value", c_uint32)]


class MibUnicastIpAddressRow(Record):
    """MIB_UNICASTIPADDRESS_ROW."""

    _fields_ = [
        ("Address", SockaddrInet),
        ("InterfaceLuid", NetLuid),
        ("InterfaceIndex", c_uint32),
        ("PrefixOrigin", c_int32),
        ("SuffixOrigin", c_int32),
        ("ValidLifetime", c_uint32),
        ("PreferredLifetime", c_uint32),
        ("OnLinkPrefixLength", c_uint8),
        ("SkipAsSource", BOOLEAN),
        ("DadState", c_int32),
        ("ScopeId", ScopeId),
        ("CreationTimeStamp", c_int64),
    ]


class IpAddressPrefix(Structure):
    """IP_ADDRESS_PREFIX."""

    _fields_ = [("Prefix", SockaddrInet), ("PrefixLength", c_uint8)]


class MibIpForwardRow2(Record):
    """MIB_IPFORWARD_ROW2."""

    _fields_ = [
        ("InterfaceLuid", NetLuid),
        ("InterfaceIndex", c_uint32),
        ("DestinationPrefix", IpAddressPrefix),
        ("NextHop", SockaddrInet),
        ("SitePrefixLength", c_uint8),
        ("ValidLifetime", c_uint32),
        ("PreferredLifetime", c_uint32),
        ("Metric", c_uint32),
        ("Protocol", c_int32),
        ("Loopback", BOOLEAN),
        ("AutoconfigureAddress", BOOLEAN),
        ("Publish", BOOLEAN),
        ("Immortal", BOOLEAN),
        ("Age", c_uint32),
        ("Origin", c_int32),
    ]


class MibIpInterfaceTable(Structure):
    """MIB_IPINTERFACE_TABLE: `Table` has `NumEntries` rows, and is declared with one."""

    _fields_ = [("NumEntries", c_uint32), ("Table", MibIpInterfaceRow * 1)]


class MibIfTable2(Structure):
    """MIB_IF_TABLE2."""

    _fields_ = [("NumEntries", c_uint32), ("Table", MibIfRow2 * 1)]


class MibIfStackTable(Structure):
    """MIB_IFSTACK_TABLE."""

    _fields_ = [("NumEntries", c_uint32), ("Table", MibIfStackRow * 1)]


class MibInvertedIfStackTable(Structure):
    """MIB_INVERTEDIFSTACK_TABLE."""

    _fields_ = [("NumEntries", c_uint32), ("Table", MibInvertedIfStackRow * 1)]


class MibUnicastIpAddressTable(Structure):
    """MIB_UNICASTIPADDRESS_TABLE."""

    _fields_ = [("NumEntries", c_uint32), ("Table", MibUnicastIpAddressRow * 1)]


class MibIpForwardTable2(Structure):
    """MIB_IPFORWARD_TABLE2."""

    _fields_ = [("NumEntries", c_uint32), ("Table", MibIpForwardRow2 * 1)]
