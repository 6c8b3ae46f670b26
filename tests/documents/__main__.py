"""Writes the tables of reference into docs/*.md: `make reference`."""

from __future__ import annotations

from tests.documents.reference import DOCUMENTS, with_tables

for document in DOCUMENTS:
    text = document.read_text(encoding="utf-8")
    if (made := with_tables(text)) != text:
        document.write_text(made, encoding="utf-8")
