"""Readers of document formats: from the bytes of a file to its text and the places in it.

They run in a process of their own (:mod:`mctool.sources.extract.isolated`), as files from elsewhere may hold anything.
"""
