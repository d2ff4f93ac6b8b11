"""Optimisers: another form of an ONNX model beside it. One module a tool; options are checked by `core.variants`."""
