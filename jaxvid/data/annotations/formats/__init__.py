"""Formats of annotations that `python -m jaxvid.tools.convert_annotations` reads and writes.

Each module has functions that read a file to `Annotations` and write `Annotations` as text.
"""
