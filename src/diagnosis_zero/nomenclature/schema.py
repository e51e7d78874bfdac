"""The layout of a catalogue's index file (SQLite). A change here needs a new ``SCHEMA_VERSION``."""

from __future__ import annotations

APPLICATION_ID = 0x647A6361  # "dzca"
SCHEMA_VERSION = 2

TABLES = """
CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE entry(entry INTEGER PRIMARY KEY, id TEXT NOT NULL, name TEXT NOT NULL, grouping INTEGER NOT NULL,
    ids TEXT NOT NULL, accepted TEXT NOT NULL, broad TEXT NOT NULL);
CREATE TABLE identifier(id TEXT PRIMARY KEY, entry INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE name(entry INTEGER NOT NULL, scope INTEGER NOT NULL, text TEXT NOT NULL);
CREATE TABLE form(key TEXT NOT NULL, entry INTEGER NOT NULL, authority TEXT NOT NULL, scope INTEGER NOT NULL,
    PRIMARY KEY (key, entry, authority)) WITHOUT ROWID;
CREATE TABLE word(word TEXT PRIMARY KEY, names INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE equivalent(one TEXT NOT NULL, other TEXT NOT NULL, diseases INTEGER NOT NULL);
CREATE TABLE conflict(text TEXT NOT NULL);
CREATE INDEX name_entry ON name(entry);
"""
"""``entry``: one disease or grouping, its identifiers and the entries it stands under (accepted hypernyms and too
broad ones), in one row because they are read together. ``identifier``: every id that means it. ``name``: as the
sources write it. ``form``: the keys a name is found under (literal, canonical, bare), who says so and in which
scope. ``word``: in how many names a word stands. ``equivalent``: phrases that the synonyms of at least two
diseases exchange."""
