"""Pure rules: names, versions, refs, sidecar, manifests, diff, bump. No I/O."""
