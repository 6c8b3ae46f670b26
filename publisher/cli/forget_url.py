"""`publisher forget URL`: empties what a node left at a destination, without a journal."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from pydantic import ValidationError

from ..config.settings import Settings
from ..delivery.context import IdleContext
from ..delivery.retained import first_mistake
from ..errors import ConfigurationError, JournalError, PublisherError, described
from ..journal.places import RetainedPlace
from ..plugins import ForgetRequest, Plugins, load_plugins
from ..service.logs import Secrets
from ..sink import Sink
from ..terminal import echo
from .forget import Forget, attempt, kept_places, left_places, silent
from .journal import find_journal, opened_journal


def forget_url(settings: Settings, wanted: Forget) -> bool:
    """Empties what a node left at this URL, without a journal; returns whether it is empty. Raises PublisherError."""
    url = wanted.what or ""
    plugins = load_plugins(slow=partial(echo, err=True))
    node = wanted.node or settings.node
    request = ForgetRequest(
        url,
        node,
        wanted.base,
        wanted.prefix,
        wanted.password_file,
        wanted.ca_file,
        wanted.token_file,
        wanted.credentials_file,
    )
    sink = _made(plugins, request)
    places = sink.retains()
    kept, luids = _known(settings, places)
    if kept:
        raise JournalError(
            f"the running service keeps {', '.join(kept)} there, and would publish it again at once: take the sink out "
            "of the configuration and reload, which empties it, or stop the service first"
        )
    retained = [RetainedPlace(type="", place=place, sink=url, node=node, options={}) for place in places]
    error = attempt(retained, lambda context: plugins.forgetter(url)(request, context), luids)
    for place in places:
        outcome = "emptied" if error is None else f"not emptied: {Secrets().mask(described(error))}"
        echo(f"{place}: {outcome}".replace("\n", " "))
    return error is None


def _made(plugins: Plugins, request: ForgetRequest) -> Sink:
    context = IdleContext("forget", request.node, silent())
    try:
        return plugins.forgetter(request.url)(request, context)
    except PublisherError:
        raise
    except ValueError as error:  # a ValidationError, which may show the URL with its password
        raise ConfigurationError(f"{Secrets().mask(request.url)}: {_reason(error)}") from None


def _reason(error: ValueError) -> str:
    return first_mistake(error) if isinstance(error, ValidationError) else Secrets().mask(described(error))


def _known(settings: Settings, places: Iterable[str]) -> tuple[list[str], frozenset[str]]:
    """Returns which of these places a running service keeps, and the LUIDs that the journal knows, if there is one.

    A journal that cannot be read (of an older version, damaged, another user's) costs a line on standard error: what
    publishes there is asked at the destination, too.
    """
    try:
        if not find_journal(settings).exists():
            return [], frozenset()
        with opened_journal(settings) as journal:
            luids = journal.known_luids()
            if journal.running is None:
                return [], luids
            kept = {place.place for place in kept_places(journal, left_places(journal))}
    except JournalError as error:
        echo(f"publisher: going on without the journal, which a URL does not need: {error}", err=True)
        return [], frozenset()
    return sorted(kept.intersection(places)), luids
