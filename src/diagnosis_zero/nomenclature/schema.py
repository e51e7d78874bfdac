"""The layout of a catalogue's index file (SQLite). A change here needs a new ``SCHEMA_VERSION``."""

from __future__ import annotations

APPLICATION_ID = 0x647A6361  # "dzca"
SCHEMA_VERSION = 4

TABLES = """
CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE packed(part TEXT PRIMARY KEY, text TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE form(key TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE entry(entry INTEGER PRIMARY KEY, id TEXT NOT NULL, grouping INTEGER NOT NULL);
CREATE TABLE identifier(id TEXT PRIMARY KEY, entry INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE name(entry INTEGER NOT NULL, scope INTEGER NOT NULL, text TEXT NOT NULL, literal TEXT NOT NULL,
    words TEXT NOT NULL, short TEXT NOT NULL);
CREATE TABLE word(word TEXT PRIMARY KEY, names INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE equivalent(one TEXT NOT NULL, other TEXT NOT NULL, diseases INTEGER NOT NULL);
CREATE TABLE conflict(text TEXT NOT NULL);
CREATE INDEX name_entry ON name(entry);
"""
"""``packed``: the keys a name is found under (literal, canonical, bare), who says so and in which scope, and the
entries with what they stand under (``index``). ``form``: the same keys, in order. ``entry``: one disease or
grouping. ``identifier``: every id that means it. ``name``: as the sources write it, and taken apart
(``normalise.Name``). ``word``: in how many names a word stands. ``equivalent``: phrases that the synonyms of at least
two diseases exchange."""

INSERT = {
    "meta": "INSERT INTO meta VALUES (?, ?)",
    "packed": "INSERT INTO packed VALUES (?, ?)",
    "form": "INSERT INTO form VALUES (?)",
    "entry": "INSERT INTO entry VALUES (?, ?, ?)",
    "identifier": "INSERT INTO identifier VALUES (?, ?)",
    "name": "INSERT INTO name VALUES (?, ?, ?, ?, ?, ?)",
    "word": "INSERT INTO word VALUES (?, ?)",
    "equivalent": "INSERT INTO equivalent VALUES (?, ?, ?)",
    "conflict": "INSERT INTO conflict VALUES (?)",
}
