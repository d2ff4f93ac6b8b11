"""The sidecar ``models/NAME/metadata.yaml``: assemble, check, order.

A sidecar is handled as a plain dict of JSON's types. Turning it to and from YAML is an adapter's work. The JSON
Schema beside the package (``modelver/schemas/sidecar-1.schema.json``) is what other tools may rely on.
"""

from modelver.core.sidecar.build import build, flatten, plain_format
from modelver.core.sidecar.check import is_newer, validate
from modelver.core.sidecar.order import merge_unknown, ordered

__all__ = ["build", "flatten", "is_newer", "merge_unknown", "ordered", "plain_format", "validate"]
