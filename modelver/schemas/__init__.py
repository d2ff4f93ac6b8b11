"""JSON Schemas of what modelver writes, as package data."""
