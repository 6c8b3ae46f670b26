"""Plugins: the hooks that a distribution may implement, and loading them, one entry point at a time.

A hook is a function in the module that an entry point of the group `publisher` names, marked with `publisher.hookimpl`.
"""

from .hooks import (
    DefaultSinks,
    ForgetRequest,
    Forgetter,
    PageMaker,
    PublisherHooks,
    Schema,
    WebRequest,
    hookimpl,
    hookspec,
)
from .loading import LoadedPlugins, load_plugins
from .offers import OWN_SCHEMAS, OWN_SOURCES, Offer, PluginFailure, Plugins, SinkTypes

__all__ = [
    "OWN_SCHEMAS",
    "OWN_SOURCES",
    "DefaultSinks",
    "ForgetRequest",
    "Forgetter",
    "LoadedPlugins",
    "Offer",
    "PageMaker",
    "PluginFailure",
    "Plugins",
    "PublisherHooks",
    "Schema",
    "SinkTypes",
    "WebRequest",
    "hookimpl",
    "hookspec",
    "load_plugins",
]
