"""The HTTP side: the server, the checks of each request, and the addresses of the page."""
