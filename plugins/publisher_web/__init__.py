"""Web: a page of the interfaces, their history, and events as Server-Sent Events."""
