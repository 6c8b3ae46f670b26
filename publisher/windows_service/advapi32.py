"""Declarations of advapi32.dll, as data: structures, numbers and signatures for services and access lists.

All types have a fixed width, so that the layouts are tested on every system. Structures and numbers are those of
winsvc.h, accctrl.h and winerror.h, documented at https://learn.microsoft.com/en-us/windows/win32/api/winsvc/. Importing
this module loads no library.
"""

from __future__ import annotations

from ctypes import POINTER, Structure, c_int32, c_uint32, c_void_p, c_wchar_p
from typing import Any, NamedTuple

SC_MANAGER_CONNECT, SC_MANAGER_CREATE_SERVICE = 0x1, 0x2
SERVICE_QUERY_CONFIG, SERVICE_CHANGE_CONFIG, SERVICE_QUERY_STATUS = 0x1, 0x2, 0x4
SERVICE_START, SERVICE_STOP, SERVICE_PAUSE_CONTINUE, DELETE = 0x10, 0x20, 0x40, 0x1_0000

SERVICE_WIN32_OWN_PROCESS = 0x10
SERVICE_AUTO_START = 2
SERVICE_ERROR_NORMAL = 1
SC_STATUS_PROCESS_INFO = 0

SERVICE_CONFIG_DESCRIPTION = 1
SERVICE_CONFIG_FAILURE_ACTIONS = 2
SERVICE_CONFIG_DELAYED_AUTO_START_INFO = 3
SERVICE_CONFIG_FAILURE_ACTIONS_FLAG = 4
SC_ACTION_RESTART = 1

SERVICE_STOPPED, SERVICE_START_PENDING, SERVICE_STOP_PENDING, SERVICE_RUNNING = 1, 2, 3, 4
SERVICE_CONTROL_STOP, SERVICE_CONTROL_INTERROGATE, SERVICE_CONTROL_SHUTDOWN = 1, 4, 5
SERVICE_CONTROL_PARAMCHANGE, SERVICE_CONTROL_PRESHUTDOWN = 6, 15
SERVICE_ACCEPT_STOP, SERVICE_ACCEPT_SHUTDOWN, SERVICE_ACCEPT_PARAMCHANGE, SERVICE_ACCEPT_PRESHUTDOWN = 1, 4, 8, 0x100

ERROR_ACCESS_DENIED = 5
ERROR_CALL_NOT_IMPLEMENTED = 120
ERROR_INVALID_LEVEL = 124
ERROR_ALREADY_EXISTS = 183
ERROR_SERVICE_DOES_NOT_EXIST = 1060
ERROR_SERVICE_NOT_ACTIVE = 1062
ERROR_SERVICE_SPECIFIC_ERROR = 1066

SDDL_REVISION_1 = 1
SE_FILE_OBJECT = 1
OWNER_SECURITY_INFORMATION, DACL_SECURITY_INFORMATION = 1, 4

Pointer = c_void_p
HANDLE = c_void_p
BOOL = c_int32


class ServiceStatusStructure(Structure):
    """SERVICE_STATUS."""

    _fields_ = [
        ("dwServiceType", c_uint32),
        ("dwCurrentState", c_uint32),
        ("dwControlsAccepted", c_uint32),
        ("dwWin32ExitCode", c_uint32),
        ("dwServiceSpecificExitCode", c_uint32),
        ("dwCheckPoint", c_uint32),
        ("dwWaitHint", c_uint32),
    ]


class ServiceStatusProcess(Structure):
    """SERVICE_STATUS_PROCESS."""

    _fields_ = [*ServiceStatusStructure._fields_, ("dwProcessId", c_uint32), ("dwServiceFlags", c_uint32)]


class ServiceTableEntry(Structure):
    """SERVICE_TABLE_ENTRYW; the last entry of a table is all zero."""

    _fields_ = [("lpServiceName", c_wchar_p), ("lpServiceProc", c_void_p)]


class ServiceDescription(Structure):
    """SERVICE_DESCRIPTIONW."""

    _fields_ = [("lpDescription", c_wchar_p)]


class Flag(Structure):
    """SERVICE_DELAYED_AUTO_START_INFO and SERVICE_FAILURE_ACTIONS_FLAG: one BOOL."""

    _fields_ = [("fFlag", BOOL)]


class ScAction(Structure):
    """SC_ACTION; the delay is in milliseconds."""

    _fields_ = [("Type", c_int32), ("Delay", c_uint32)]


class ServiceFailureActions(Structure):
    """SERVICE_FAILURE_ACTIONSW; the reset period is in seconds, and the last action is repeated."""

    _fields_ = [
        ("dwResetPeriod", c_uint32),
        ("lpRebootMsg", c_wchar_p),
        ("lpCommand", c_wchar_p),
        ("cActions", c_uint32),
        ("lpsaActions", POINTER(ScAction)),
    ]


class QueryServiceConfig(Structure):
    """QUERY_SERVICE_CONFIGW."""

    _fields_ = [
        ("dwServiceType", c_uint32),
        ("dwStartType", c_uint32),
        ("dwErrorControl", c_uint32),
        ("lpBinaryPathName", c_wchar_p),
        ("lpLoadOrderGroup", c_wchar_p),
        ("dwTagId", c_uint32),
        ("lpDependencies", c_wchar_p),
        ("lpServiceStartName", c_wchar_p),
        ("lpDisplayName", c_wchar_p),
    ]


class SecurityAttributes(Structure):
    """SECURITY_ATTRIBUTES."""

    _fields_ = [("nLength", c_uint32), ("lpSecurityDescriptor", c_void_p), ("bInheritHandle", BOOL)]


class Declaration(NamedTuple):
    """The types of a function's result and arguments."""

    restype: Any
    argtypes: tuple[Any, ...]


FUNCTIONS: dict[str, Declaration] = {
    "OpenSCManagerW": Declaration(HANDLE, (c_wchar_p, c_wchar_p, c_uint32)),
    "CreateServiceW": Declaration(
        HANDLE,
        (
            HANDLE, c_wchar_p, c_wchar_p, c_uint32, c_uint32, c_uint32, c_uint32,
            c_wchar_p, c_wchar_p, Pointer, c_wchar_p, c_wchar_p, c_wchar_p,
        ),
    ),
    "OpenServiceW": Declaration(HANDLE, (HANDLE, c_wchar_p, c_uint32)),
    "CloseServiceHandle": Declaration(BOOL, (HANDLE,)),
    "ChangeServiceConfig2W": Declaration(BOOL, (HANDLE, c_uint32, Pointer)),
    "StartServiceW": Declaration(BOOL, (HANDLE, c_uint32, Pointer)),
    "ControlService": Declaration(BOOL, (HANDLE, c_uint32, POINTER(ServiceStatusStructure))),
    "DeleteService": Declaration(BOOL, (HANDLE,)),
    "QueryServiceStatusEx": Declaration(BOOL, (HANDLE, c_int32, Pointer, c_uint32, POINTER(c_uint32))),
    "QueryServiceConfigW": Declaration(BOOL, (HANDLE, Pointer, c_uint32, POINTER(c_uint32))),
    "StartServiceCtrlDispatcherW": Declaration(BOOL, (POINTER(ServiceTableEntry),)),
    "RegisterServiceCtrlHandlerExW": Declaration(HANDLE, (c_wchar_p, Pointer, Pointer)),
    "SetServiceStatus": Declaration(BOOL, (HANDLE, POINTER(ServiceStatusStructure))),
    "ConvertStringSecurityDescriptorToSecurityDescriptorW": Declaration(
        BOOL, (c_wchar_p, c_uint32, POINTER(Pointer), POINTER(c_uint32))
    ),
    "ConvertSecurityDescriptorToStringSecurityDescriptorW": Declaration(
        BOOL, (Pointer, c_uint32, c_uint32, POINTER(Pointer), POINTER(c_uint32))
    ),
    "ConvertStringSidToSidW": Declaration(BOOL, (c_wchar_p, POINTER(Pointer))),
    "LookupAccountSidW": Declaration(
        BOOL, (c_wchar_p, Pointer, Pointer, POINTER(c_uint32), Pointer, POINTER(c_uint32), POINTER(c_uint32))
    ),
    # Its result is an error code.
    "GetNamedSecurityInfoW": Declaration(
        c_uint32, (c_wchar_p, c_int32, c_uint32, Pointer, Pointer, Pointer, Pointer, POINTER(Pointer))
    ),
}  # fmt: skip
KERNEL32: dict[str, Declaration] = {
    "CreateDirectoryW": Declaration(BOOL, (c_wchar_p, POINTER(SecurityAttributes))),
    "LocalFree": Declaration(Pointer, (Pointer,)),
}
