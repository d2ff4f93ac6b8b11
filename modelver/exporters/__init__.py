"""Exporters: a framework's own file becomes an ONNX model with test data. Plug-ins, found by entry points."""
